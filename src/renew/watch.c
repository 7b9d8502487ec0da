#include "renew/watch.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void renew_notify(const char *lines) {
    const char *to = getenv("NOTIFY_SOCKET");
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    if (to == NULL || (to[0] != '/' && to[0] != '@') || strlen(to) >= sizeof a.sun_path) return;
    memcpy(a.sun_path, to, strlen(to));
    socklen_t n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(to));
    if (to[0] == '@') a.sun_path[0] = '\0'; /* an abstract name */
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return;
    (void)sendto(fd, lines, strlen(lines), MSG_NOSIGNAL, (const struct sockaddr *)&a, n);
    (void)close(fd);
}

cs_time renew_watchdog(void) {
    const char *every = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    char *end = NULL;
    if (every == NULL || (pid != NULL && strtol(pid, NULL, 10) != getpid())) return 0;
    long long n = strtoll(every, &end, 10);
    return n > 0 && *end == '\0' ? (cs_time)n / 2 : 0;
}
