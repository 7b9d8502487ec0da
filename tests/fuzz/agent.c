/* The agent's configuration (first byte 'c') and its state. */
#include <stdlib.h>

#include "renew/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    cs_err err;
    if (size == 0) return 0;
    cs_view text = cs_view_of(data + 1, size - 1);
    if (data[0] == 'c') {
        CS_AUTO(renew_conf) c = NULL;
        (void)!(renew_conf_read(text, "agent.yaml", "/etc", &c, &err) == CS_OK);
        return 0;
    }
    renew_state s;
    CS_SCOPED(cs_buf) again = cs_buf_of(64 * 1024);
    if (renew_state_read(text, &s, &err) != CS_OK) return 0;
    renew_state_write(&s, &again); /* what was read is written, and read the same */
    renew_state same;
    if (renew_state_read(cs_buf_view(&again), &same, &err) != CS_OK || same.step != s.step || same.due != s.due)
        __builtin_trap();
    return 0;
}
