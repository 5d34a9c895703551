// A small shell for files. Each argument is a command and its operands, parted by commas:
//   read,PATH        print the file
//   write,PATH,TEXT  make or overwrite the file
//   append,PATH,TEXT
//   list,PATH        print the names in a folder, sorted
//   ino,PATH         print the file's number
//   mkdir,PATH       rm,PATH       rename,FROM,TO       symlink,TARGET,PATH       readlink,PATH
// A command that fails prints `COMMAND PATH: reason`, and the exit code is 1 at the end.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int put_all(int fd, const char *bytes, size_t len) {
    while (len > 0) {
        ssize_t put = write(fd, bytes, len);
        if (put <= 0)
            return -1;
        bytes += put;
        len -= put;
    }
    return 0;
}

static int read_file(const char *path) {
    int fd = open(path, O_RDONLY);
    if (fd < 0)
        return -1;
    char buffer[4096];
    ssize_t got;
    while ((got = read(fd, buffer, sizeof buffer)) > 0)
        if (put_all(1, buffer, got) != 0)
            return -1;
    close(fd);
    return got < 0 ? -1 : 0;
}

static int write_file(const char *path, const char *text, int how) {
    int fd = open(path, O_WRONLY | O_CREAT | how, 0644);
    if (fd < 0)
        return -1;
    if (put_all(fd, text, strlen(text)) != 0)
        return -1;
    return close(fd);
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int list(const char *path) {
    DIR *dir = opendir(path);
    if (!dir)
        return -1;
    static char *names[1024];
    size_t count = 0;
    errno = 0;
    for (struct dirent *entry; count < 1024 && (entry = readdir(dir));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            names[count++] = strdup(entry->d_name);
    if (errno != 0)
        return -1;
    closedir(dir);
    qsort(names, count, sizeof *names, by_name);
    for (size_t i = 0; i < count; i++)
        puts(names[i]);
    return fflush(stdout);
}

static int read_link(const char *path) {
    char target[4096];
    ssize_t len = readlink(path, target, sizeof target - 1);
    if (len < 0)
        return -1;
    target[len] = 0;
    puts(target);
    return fflush(stdout);
}

static int show_number(const char *path) {
    struct stat status;
    if (stat(path, &status) != 0)
        return -1;
    printf("%llu\n", (unsigned long long)status.st_ino);
    return fflush(stdout);
}

static int perform(const char *verb, const char *a, const char *b) {
    if (strcmp(verb, "read") == 0)
        return read_file(a);
    if (strcmp(verb, "write") == 0)
        return write_file(a, b, O_TRUNC);
    if (strcmp(verb, "append") == 0)
        return write_file(a, b, O_APPEND);
    if (strcmp(verb, "list") == 0)
        return list(a);
    if (strcmp(verb, "mkdir") == 0)
        return mkdir(a, 0755);
    if (strcmp(verb, "rm") == 0)
        return remove(a);
    if (strcmp(verb, "rename") == 0)
        return rename(a, b);
    if (strcmp(verb, "symlink") == 0)
        return symlink(a, b);
    if (strcmp(verb, "readlink") == 0)
        return read_link(a);
    if (strcmp(verb, "ino") == 0)
        return show_number(a);
    errno = EINVAL;
    return -1;
}

int main(int argc, char **argv) {
    int failed = 0;
    for (int i = 1; i < argc; i++) {
        char *verb = strtok(argv[i], ",");
        char *a = strtok(NULL, ",");
        char *b = strtok(NULL, "");
        if (perform(verb, a ? a : "", b ? b : "") != 0) {
            printf("%s %s: %s\n", verb, a ? a : "", strerror(errno));
            fflush(stdout);
            failed = 1;
        }
    }
    return failed;
}
