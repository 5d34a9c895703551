// Says that it is there and then works forever, without a system call.
#include <unistd.h>

int main(void) {
    write(1, "looping\n", 8);
    for (volatile unsigned i = 0;; i++)
        ;
}
