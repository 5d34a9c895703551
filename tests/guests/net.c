// Uses the network of WASI 0.2 as its arguments say, one after the other, and prints what came of each. Written against the
// canonical ABI; net.rs makes a component of it. Addresses are IPv4.
//
//   name NAME             looks a name up
//   tcp ADDRESS PORT      connects, says "hello", prints the answer
//   host NAME PORT        looks a name up and connects to its first address
//   listen PORT           takes one connection, answers with what it says
//   udp ADDRESS PORT      sends "hello", prints the answer
//   answer PORT           answers one datagram with what it says
//   get SCHEME HOST PATH  asks for a page
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned long long u64;

#define IMPORT(module, name) __attribute__((import_module(module), import_name(name))) extern
#define TCP "wasi:sockets/tcp@0.2.0"
#define UDP "wasi:sockets/udp@0.2.0"
#define NAMES "wasi:sockets/ip-name-lookup@0.2.0"
#define POLL "wasi:io/poll@0.2.0"
#define STREAMS "wasi:io/streams@0.2.0"
#define HTTP "wasi:http/types@0.2.0"
// An ip-socket-address: which kind, port, four numbers; the rest is for IPv6.
#define ADDRESS int kind, int port, int a, int b, int c, int d, int e, int f, int g, int h, int i, int j
#define V4(ip, port) 0, port, ip[0], ip[1], ip[2], ip[3], 0, 0, 0, 0, 0, 0

IMPORT("wasi:sockets/instance-network@0.2.0", "instance-network") int instance_network(void);
IMPORT("wasi:sockets/tcp-create-socket@0.2.0", "create-tcp-socket") void tcp_new(int family, void *result);
IMPORT(TCP, "[method]tcp-socket.start-bind") void tcp_bind(int socket, int network, ADDRESS, void *result);
IMPORT(TCP, "[method]tcp-socket.finish-bind") void tcp_bound(int socket, void *result);
IMPORT(TCP, "[method]tcp-socket.start-listen") void tcp_listen(int socket, void *result);
IMPORT(TCP, "[method]tcp-socket.finish-listen") void tcp_listening(int socket, void *result);
IMPORT(TCP, "[method]tcp-socket.accept") void tcp_accept(int socket, void *result);
IMPORT(TCP, "[method]tcp-socket.start-connect") void tcp_connect(int socket, int network, ADDRESS, void *result);
IMPORT(TCP, "[method]tcp-socket.finish-connect") void tcp_connected(int socket, void *result);
IMPORT(TCP, "[method]tcp-socket.local-address") void tcp_local(int socket, void *result);
IMPORT(TCP, "[method]tcp-socket.subscribe") int tcp_subscribe(int socket);
IMPORT(TCP, "[method]tcp-socket.shutdown") void tcp_shutdown(int socket, int how, void *result);
IMPORT("wasi:sockets/udp-create-socket@0.2.0", "create-udp-socket") void udp_new(int family, void *result);
IMPORT(UDP, "[method]udp-socket.start-bind") void udp_bind(int socket, int network, ADDRESS, void *result);
IMPORT(UDP, "[method]udp-socket.finish-bind") void udp_bound(int socket, void *result);
IMPORT(UDP, "[method]udp-socket.stream") void udp_stream(int socket, int some, ADDRESS, void *result);
IMPORT(UDP, "[method]incoming-datagram-stream.receive") void udp_receive(int stream, u64 most, void *result);
IMPORT(UDP, "[method]incoming-datagram-stream.subscribe") int udp_subscribe(int stream);
IMPORT(UDP, "[method]outgoing-datagram-stream.check-send") void udp_check(int stream, void *result);
IMPORT(UDP, "[method]outgoing-datagram-stream.send") void udp_send(int stream, void *list, int count, void *result);
IMPORT(NAMES, "resolve-addresses") void resolve(int network, const char *name, int length, void *result);
IMPORT(NAMES, "[method]resolve-address-stream.resolve-next-address") void resolve_next(int stream, void *result);
IMPORT(NAMES, "[method]resolve-address-stream.subscribe") int resolve_subscribe(int stream);
IMPORT(POLL, "[method]pollable.block") void poll_block(int pollable);
IMPORT(POLL, "[resource-drop]pollable") void poll_drop(int pollable);
IMPORT(STREAMS, "[method]input-stream.blocking-read") void stream_read(int stream, u64 length, void *result);
IMPORT(STREAMS, "[method]output-stream.blocking-write-and-flush")
void stream_write(int stream, const void *bytes, int length, void *result);
IMPORT(HTTP, "[constructor]fields") int fields_new(void);
IMPORT(HTTP, "[constructor]outgoing-request") int request_new(int fields);
IMPORT(HTTP, "[method]outgoing-request.set-scheme") int set_scheme(int request, int some, int scheme, int text, int length);
IMPORT(HTTP, "[method]outgoing-request.set-authority")
int set_authority(int request, int some, const char *text, int length);
IMPORT(HTTP, "[method]outgoing-request.set-path-with-query")
int set_path(int request, int some, const char *text, int length);
IMPORT("wasi:http/outgoing-handler@0.2.0", "handle") void handle(int request, int some, int options, void *result);
IMPORT(HTTP, "[method]future-incoming-response.subscribe") int response_subscribe(int future);
IMPORT(HTTP, "[method]future-incoming-response.get") void response_get(int future, void *result);
IMPORT(HTTP, "[method]incoming-response.status") int response_status(int response);
IMPORT(HTTP, "[method]incoming-response.consume") void response_consume(int response, void *result);
IMPORT(HTTP, "[method]incoming-body.stream") void body_stream(int body, void *result);

__attribute__((export_name("cabi_realloc"))) void *cabi_realloc(void *old, int old_size, int align, int size) {
    (void)old_size, (void)align;
    return realloc(old, (size_t)size);
}

static const char *const CODES[] = {
    "unknown", "access-denied", "not-supported", "invalid-argument", "out-of-memory", "timeout",
    "concurrency-conflict", "not-in-progress", "would-block", "invalid-state", "new-socket-limit",
    "address-not-bindable", "address-in-use", "remote-unreachable", "connection-refused", "connection-reset",
    "connection-aborted", "datagram-too-large", "name-unresolvable", "temporary-resolver-failure",
    "permanent-resolver-failure"};

// A result: which, and from `at` on either what it is or what went wrong.
static u8 result[128] __attribute__((aligned(8)));

static int number(int at) {
    int value;
    memcpy(&value, result + at, sizeof value);
    return value;
}

static int failed(const char *what, int at) {
    if (result[0] && printf("%s: %s\n", what, result[at] < 21 ? CODES[result[at]] : "?"))
        return 1;
    return 0;
}

static void wait(int pollable) {
    poll_block(pollable);
    poll_drop(pollable);
}

static int parse(const char *text, u8 ip[4]) {
    return sscanf(text, "%hhu.%hhu.%hhu.%hhu", ip, ip + 1, ip + 2, ip + 3) == 4;
}

// Prints what comes until the end, and returns the last of it.
static void print_all(int stream) {
    for (;;) {
        stream_read(stream, 4096, result);
        if (result[0])
            break;
        fwrite((void *)number(4), 1, (size_t)number(8), stdout);
    }
    printf("\n");
}

static void connect_to(int network, const u8 ip[4], int port) {
    tcp_new(0, result);
    if (failed("create", 4))
        return;
    int socket = number(4);
    tcp_connect(socket, network, V4(ip, port), result);
    if (failed("connect", 1))
        return;
    wait(tcp_subscribe(socket));
    tcp_connected(socket, result);
    if (failed("connect", 4))
        return;
    int in = number(4), out = number(8);
    stream_write(out, "hello", 5, result);
    tcp_shutdown(socket, 1, result);
    printf("answer: ");
    print_all(in);
}

// Looks up; returns whether there is an IPv4 address, the first of which goes to `first`.
static int look_up(int network, const char *name, u8 first[4]) {
    resolve(network, name, (int)strlen(name), result);
    if (failed("name", 4))
        return 0;
    int stream = number(4), found = 0;
    for (;;) {
        wait(resolve_subscribe(stream));
        resolve_next(stream, result);
        if (failed("name", 2))
            return 0;
        if (!result[2])
            return found;
        if (result[4])
            continue;
        printf("address: %u.%u.%u.%u\n", result[6], result[7], result[8], result[9]);
        if (!found++)
            memcpy(first, result + 6, 4);
    }
}

static void take_one(int network, int port) {
    static const u8 any[4];
    tcp_new(0, result);
    if (failed("create", 4))
        return;
    int socket = number(4);
    tcp_bind(socket, network, V4(any, port), result);
    if (failed("bind", 1))
        return;
    tcp_bound(socket, result);
    tcp_listen(socket, result);
    if (failed("listen", 1))
        return;
    tcp_listening(socket, result);
    tcp_local(socket, result);
    u16 local;
    memcpy(&local, result + 8, sizeof local);
    printf("listening: %u\n", local);
    fflush(stdout);
    do {
        wait(tcp_subscribe(socket));
        tcp_accept(socket, result);
    } while (result[0] && result[4] == 8);
    if (failed("accept", 4))
        return;
    int peer = number(4), in = number(8), out = number(12);
    tcp_local(peer, result);
    memcpy(&local, result + 8, sizeof local);
    stream_read(in, 4096, result);
    if (result[0]) {
        printf("read: failed\n");
        return;
    }
    stream_write(out, (void *)number(4), number(8), result);
    tcp_shutdown(peer, 1, result);
    printf("served: %u\n", local);
}

struct datagram {
    const void *data;
    int length;
    u8 some, pad[3], kind, pad2[3];
    u16 port;
    u8 ip[26];
};

static void datagrams(int network, const u8 *ip, int port) {
    static const u8 any[4];
    int serves = !ip;
    udp_new(0, result);
    if (failed("create", 4))
        return;
    int socket = number(4);
    udp_bind(socket, network, V4(any, serves ? port : 0), result);
    if (failed("bind", 1))
        return;
    udp_bound(socket, result);
    udp_stream(socket, 0, V4(any, 0), result);
    if (failed("stream", 4))
        return;
    int in = number(4), out = number(8);
    struct datagram one = {.data = "hello", .length = 5, .some = 1, .port = (u16)port};
    if (serves)
        printf("bound\n");
    else
        memcpy(one.ip, ip, 4);
    fflush(stdout);
    for (int turn = 0; turn < 2; turn++) {
        if (turn == serves) {
            udp_check(out, result);
            udp_send(out, &one, 1, result);
            if (failed("send", 8))
                return;
        } else {
            int count;
            do {
                wait(udp_subscribe(in));
                udp_receive(in, 1, result);
                count = number(8);
            } while (!result[0] && !count);
            if (failed("receive", 4))
                return;
            u8 *got = (u8 *)number(4);
            memcpy(&one, got, 8);
            one.kind = got[8];
            memcpy(&one.port, got + 12, 6);
            printf("datagram: %.*s\n", one.length, (const char *)one.data);
        }
    }
}

static void get(const char *scheme, const char *authority, const char *path) {
    int request = request_new(fields_new());
    set_scheme(request, 1, strcmp(scheme, "https") == 0, 0, 0);
    set_authority(request, 1, authority, (int)strlen(authority));
    set_path(request, 1, path, (int)strlen(path));
    handle(request, 0, 0, result);
    if (result[0]) {
        printf("handle: error %u\n", result[8]);
        return;
    }
    int future = number(8);
    wait(response_subscribe(future));
    response_get(future, result);
    if (result[16]) {
        printf("get: error %u\n", result[24]);
        return;
    }
    int response = number(24);
    printf("status %d: ", response_status(response));
    response_consume(response, result);
    body_stream(number(4), result);
    print_all(number(4));
}

int main(int argc, char **argv) {
    // The linker has every exported function of a command flush what is unsaid when it returns, and while the host hands a
    // list over, through cabi_realloc, nothing may be said.
    setvbuf(stdout, NULL, _IONBF, 0);
    int network = instance_network();
    u8 ip[4];
    for (int i = 1; i < argc; i++) {
        const char *what = argv[i];
        if (!strcmp(what, "name") && i + 1 < argc) {
            look_up(network, argv[++i], ip);
        } else if (!strcmp(what, "tcp") && i + 2 < argc && parse(argv[i + 1], ip)) {
            connect_to(network, ip, atoi(argv[i + 2]));
            i += 2;
        } else if (!strcmp(what, "host") && i + 2 < argc) {
            if (look_up(network, argv[i + 1], ip))
                connect_to(network, ip, atoi(argv[i + 2]));
            i += 2;
        } else if (!strcmp(what, "listen") && i + 1 < argc) {
            take_one(network, atoi(argv[++i]));
        } else if (!strcmp(what, "udp") && i + 2 < argc && parse(argv[i + 1], ip)) {
            datagrams(network, ip, atoi(argv[i + 2]));
            i += 2;
        } else if (!strcmp(what, "answer") && i + 1 < argc) {
            datagrams(network, 0, atoi(argv[++i]));
        } else if (!strcmp(what, "get") && i + 3 < argc) {
            get(argv[i + 1], argv[i + 2], argv[i + 3]);
            i += 3;
        } else {
            printf("what is %s?\n", what);
            return 2;
        }
        fflush(stdout);
    }
    return 0;
}
