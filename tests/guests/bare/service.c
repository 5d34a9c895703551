// Answers HTTP requests in the ways that its paths name. Written against the canonical ABI, so that it needs no tool but a
// compiler.

typedef unsigned char u8;
typedef unsigned long long u64;

#define IMPORT(module, name) __attribute__((import_module(module), import_name(name))) extern
#define TYPES "wasi:http/types@0.2.0"
#define STREAMS "wasi:io/streams@0.2.0"

IMPORT(TYPES, "[method]incoming-request.path-with-query") void request_path(int request, int *result);
IMPORT(TYPES, "[method]incoming-request.consume") void request_consume(int request, int *result);
IMPORT(TYPES, "[method]incoming-body.stream") void incoming_stream(int body, int *result);
IMPORT(TYPES, "[constructor]fields") int fields_new(void);
IMPORT(TYPES, "[method]fields.append")
void fields_append(int fields, const char *name, int name_length, const char *value, int length, int *result);
IMPORT(TYPES, "[constructor]outgoing-response") int response_new(int headers);
IMPORT(TYPES, "[method]outgoing-response.set-status-code") int response_status(int response, int status);
IMPORT(TYPES, "[method]outgoing-response.body") void response_body(int response, int *result);
IMPORT(TYPES, "[method]outgoing-body.write") void body_write(int body, int *result);
IMPORT(TYPES, "[static]outgoing-body.finish") void body_finish(int body, int has_trailers, int trailers, int *result);
IMPORT(TYPES, "[static]response-outparam.set")
void answer_set(int out, int is_error, int value, int a, u64 b, int c, int d, int e, int f);
IMPORT(TYPES, "[resource-drop]response-outparam") void answer_drop(int out);
IMPORT(STREAMS, "[method]input-stream.blocking-read") void stream_read(int stream, u64 length, int *result);
IMPORT(STREAMS, "[method]output-stream.blocking-write-and-flush")
void stream_write(int stream, const char *bytes, int length, int *result);
IMPORT(STREAMS, "[resource-drop]output-stream") void stream_drop(int stream);
IMPORT("wasi:clocks/monotonic-clock@0.2.0", "subscribe-duration") int timer(u64 nanoseconds);
IMPORT("wasi:io/poll@0.2.0", "[method]pollable.block") void poll_block(int pollable);
IMPORT("wasi:cli/stderr@0.2.0", "get-stderr") int get_stderr(void);
IMPORT("wasi:cli/environment@0.2.0", "get-environment") void get_environment(int *result);

static char heap[1 << 20];
static int used;

__attribute__((export_name("cabi_realloc"))) void *cabi_realloc(void *old, int old_size, int align, int size) {
    (void)old, (void)old_size;
    used = (used + align - 1) & -align;
    if (used + size > (int)sizeof heap)
        used = 0;
    void *at = heap + used;
    used += size;
    return at;
}

static int length(const char *text) {
    int count = 0;
    while (text[count])
        count++;
    return count;
}

static int is(const char *path, int path_length, const char *text) {
    if (path_length != length(text))
        return 0;
    while (path_length--)
        if (path[path_length] != text[path_length])
            return 0;
    return 1;
}

static void sleep_ms(u64 milliseconds) { poll_block(timer(milliseconds * 1000000)); }

static int write_bytes(int stream, const char *bytes, int count) {
    int result[4];
    while (count > 0) {
        int part = count < 4096 ? count : 4096;
        stream_write(stream, bytes, part, result);
        if (result[0] & 0xff)
            return -1;
        bytes += part;
        count -= part;
    }
    return 0;
}

static int write_text(int stream, const char *text) { return write_bytes(stream, text, length(text)); }

static void header(int fields, const char *name, const char *value) {
    int result[4];
    fields_append(fields, name, length(name), value, length(value), result);
    if (result[0] & 0xff)
        __builtin_trap();
}

// Begins to answer; what is returned takes the body, `*body` its end.
static int begin(int out, int status, int headers, int *body) {
    int result[4];
    int response = response_new(headers);
    response_status(response, status);
    response_body(response, result);
    *body = result[1];
    answer_set(out, 0, response, 0, 0, 0, 0, 0, 0);
    body_write(*body, result);
    return result[1];
}

static void end(int stream, int body, int has_trailers, int trailers) {
    int result[16];
    stream_drop(stream);
    body_finish(body, has_trailers, trailers, result);
}

static void plain(int out, int status, const char *text) {
    int body, stream = begin(out, status, fields_new(), &body);
    write_text(stream, text);
    end(stream, body, 0, 0);
}

static void echo(int request, int out) {
    int result[4], body;
    request_consume(request, result);
    incoming_stream(result[1], result);
    int from = result[1], to = begin(out, 200, fields_new(), &body);
    for (;;) {
        stream_read(from, 65536, result);
        if (result[0] & 0xff)
            break;
        if (write_bytes(to, (const char *)result[1], result[2]))
            break;
    }
    end(to, body, 0, 0);
}

static void count_bytes(int request, int out) {
    int result[4], bytes = 0;
    request_consume(request, result);
    incoming_stream(result[1], result);
    int from = result[1];
    for (;;) {
        stream_read(from, 65536, result);
        if (result[0] & 0xff)
            break;
        bytes += result[2];
    }
    char text[12];
    int at = sizeof text;
    text[--at] = 0;
    do {
        text[--at] = '0' + bytes % 10;
        bytes /= 10;
    } while (bytes);
    plain(out, 200, text + at);
}

static char visits = '0';

__attribute__((export_name("wasi:http/incoming-handler@0.2.0#handle"))) void handle(int request, int out) {
    int result[4], body, stream;
    request_path(request, result);
    const char *path = (const char *)result[1];
    int count = result[2];
#define ON(text) if (is(path, count, text))
    ON("/") {
        plain(out, 200, "hello\n");
    } else ON("/echo") {
        echo(request, out);
    } else ON("/bytes") {
        count_bytes(request, out);
    } else ON("/visits") {
        // Always the first, in an instance of its own.
        char text[2] = {++visits, 0};
        plain(out, 200, text);
    } else ON("/headers") {
        int headers = fields_new();
        header(headers, "content-type", "text/csv");
        header(headers, "x-two", "1");
        header(headers, "x-two", "2");
        stream = begin(out, 418, headers, &body);
        write_text(stream, "a,b\n");
        end(stream, body, 0, 0);
    } else ON("/trailers") {
        int headers = fields_new(), trailers = fields_new();
        header(headers, "trailer", "x-end");
        header(trailers, "x-end", "yes");
        stream = begin(out, 200, headers, &body);
        write_text(stream, "body");
        end(stream, body, 1, trailers);
    } else ON("/sleep") {
        sleep_ms(400);
        plain(out, 200, "slept\n");
    } else ON("/drip") {
        stream = begin(out, 200, fields_new(), &body);
        for (int i = 0; i < 4; i++) {
            write_text(stream, "drop\n");
            sleep_ms(100);
        }
        end(stream, body, 0, 0);
    } else ON("/endless") {
        stream = begin(out, 200, fields_new(), &body);
        while (write_text(stream, "drop\n") == 0)
            sleep_ms(20);
        write_text(get_stderr(), "the client is gone\n");
    } else ON("/big") {
        // 64 MiB.
        stream = begin(out, 200, fields_new(), &body);
        for (int i = 0; i < 64 * 16; i++)
            if (write_bytes(stream, heap, 65536))
                break;
        end(stream, body, 0, 0);
    } else ON("/environment") {
        get_environment(result);
        const int *pair = (const int *)result[0];
        stream = begin(out, 200, fields_new(), &body);
        for (int i = 0; i < result[1]; i++, pair += 4) {
            write_bytes(stream, (const char *)pair[0], pair[1]);
            write_text(stream, "=");
            write_bytes(stream, (const char *)pair[2], pair[3]);
            write_text(stream, "\n");
        }
        end(stream, body, 0, 0);
    } else ON("/stderr") {
        write_text(get_stderr(), "said\n");
        plain(out, 200, "");
    } else ON("/grow") {
        // 64 MiB.
        plain(out, 200, __builtin_wasm_memory_grow(0, 1024) == -1 ? "refused\n" : "grown\n");
    } else ON("/hold") {
        // 64 MiB, for some time.
        int refused = __builtin_wasm_memory_grow(0, 1024) == -1;
        stream = begin(out, 200, fields_new(), &body);
        write_text(stream, refused ? "refused\n" : "held\n");
        sleep_ms(refused ? 0 : 400);
        end(stream, body, 0, 0);
    } else ON("/trap") {
        __builtin_trap();
    } else ON("/trap-late") {
        stream = begin(out, 200, fields_new(), &body);
        write_text(stream, "begun\n");
        sleep_ms(50);
        __builtin_trap();
    } else ON("/loop") {
        for (volatile int i = 0;; i++)
            ;
    } else ON("/after") {
        plain(out, 200, "answered\n");
        sleep_ms(200);
        write_text(get_stderr(), "afterwards\n");
    } else ON("/silent") {
    } else ON("/drop") {
        answer_drop(out);
        sleep_ms(10000);
    } else ON("/error") {
        answer_set(out, 1, 36, 0, 0, 0, 0, 0, 0);
    } else {
        plain(out, 404, "no such way to answer\n");
    }
}
