#include <stdio.h>

int main(void) {
    fputs("countersign: no command yet\n", stderr);
    return 2;
}
