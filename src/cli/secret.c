/* Passphrases: from a terminal, a private file or standard input; never from the command line. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "cli/cli.h"
#include "io/files.h"

static cs_status keep(cs_view text, const char *what, cs_secret **ret, cs_err *err) {
    while (text.n > 0 && (text.p[text.n - 1] == '\n' || text.p[text.n - 1] == '\r')) text.n--;
    if (text.n == 0) return cs_fail(err, CS_REFUSED, CS_R_FILE_EMPTY, "%s holds no passphrase", what);
    if (text.n > CS_PASSPHRASE_MAX)
        return cs_fail(err, CS_LIMIT, CS_R_FILE_TOO_LARGE, "%s: a passphrase has at most %d bytes", what,
                       CS_PASSPHRASE_MAX);
    TRY(cs_secret_new(text.n, ret, err));
    memcpy((*ret)->p, text.p, text.n);
    return CS_OK;
}

cs_status cli_read_secret(const char *path, cs_secret **ret, cs_err *err) {
    CS_SCOPED(cs_buf) b = cs_buf_secret(CS_PASSPHRASE_MAX + 2);
    bool standard = strcmp(path, "-") == 0;
    if (standard) {
        TRY(files_read_input(CS_PASSPHRASE_MAX + 2, &b, err));
    } else {
        TRY(files_read_private(path, CS_PASSPHRASE_MAX + 2, &b, err));
    }
    return keep(cs_buf_view(&b), standard ? "standard input" : path, ret, err);
}

/* One line from the terminal without echo. */
static cs_status ask_once(int tty, const char *prompt, cs_secret **ret, cs_err *err) {
    struct termios before, quiet;
    char line[CS_PASSPHRASE_MAX + 2];
    if (tcgetattr(tty, &before) != 0) return cs_fail_errno(err, errno, CS_R_PASSPHRASE_NEEDED, "terminal");
    quiet = before;
    quiet.c_lflag &= (tcflag_t)~ECHO;
    quiet.c_lflag |= ICANON;
    (void)tcsetattr(tty, TCSAFLUSH, &quiet);
    (void)dprintf(tty, "%s: ", prompt);
    ssize_t n = read(tty, line, sizeof line);
    (void)dprintf(tty, "\n");
    (void)tcsetattr(tty, TCSAFLUSH, &before);
    cs_status s = n > 0 ? keep(cs_view_of(line, (size_t)n), "the terminal", ret, err)
                        : cs_fail(err, CS_REFUSED, CS_R_PASSPHRASE_NEEDED, "nothing was typed");
    cs_wipe(line, sizeof line);
    return s;
}

static cs_status ask(int tty, const char *prompt, bool again, cs_secret **ret, cs_err *err) {
    CS_AUTO(cs_secret) one = NULL;
    CS_AUTO(cs_secret) two = NULL;
    TRY(ask_once(tty, prompt, &one, err));
    if (again) {
        TRY(ask_once(tty, "the same again", &two, err));
        if (!cs_view_eq_consttime(cs_secret_view(one), cs_secret_view(two)))
            return cs_fail(err, CS_REFUSED, CS_R_PASSPHRASE_WRONG, "the two are not the same");
    }
    *ret = CS_TAKE(one);
    return CS_OK;
}

cs_status cli_ask_secret(const char *prompt, bool again, cs_secret **ret, cs_err *err) {
    if (isatty(STDIN_FILENO) != 1)
        return cs_fail(err, CS_REFUSED, CS_R_PASSPHRASE_NEEDED, "standard input is no terminal");
    int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (tty < 0) return cs_fail_errno(err, errno, CS_R_PASSPHRASE_NEEDED, "/dev/tty");
    cs_status s = ask(tty, prompt, again, ret, err);
    (void)close(tty);
    return s;
}

cs_status cli_root_passphrase(const char *file, bool again, cs_secret **ret, cs_err *err) {
    char path[FILES_PATH_MAX];
    if (file != NULL) return cli_read_secret(file, ret, err);
    const char *credentials = getenv("CREDENTIALS_DIRECTORY");
    if (credentials != NULL && credentials[0] == '/') {
        TRY(files_join(credentials, "root-passphrase", path, err));
        if (files_exists(path)) return cli_read_secret(path, ret, err);
    }
    return cli_ask_secret("passphrase for the root's key", again, ret, err);
}
