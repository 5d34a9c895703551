// Says that it is there and then sleeps for an hour.
#include <unistd.h>

int main(void) {
    write(1, "sleeping\n", 9);
    sleep(3600);
    return 0;
}
