// Greets whoever its argument says with the words of another component (tests/guests/bare/words.wit), and prints them.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct text {
    char *at;
    size_t len;
};

__attribute__((import_module("acme:words/greeting@1.0.0"), import_name("greet"))) void greet(const char *name, size_t len,
                                                                                             struct text *answer);

__attribute__((export_name("cabi_realloc"))) void *cabi_realloc(void *old, size_t old_size, size_t align, size_t size) {
    (void)old_size;
    (void)align;
    return realloc(old, size);
}

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "nobody";
    struct text answer;
    greet(name, strlen(name), &answer);
    printf("%.*s\n", (int)answer.len, answer.at);
    return 0;
}
