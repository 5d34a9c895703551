//! Components that answer HTTP requests, over real sockets.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use coracle_runtime::policy::quantity::Size;
use coracle_runtime::sandbox::wasm::{Drain, Interrupt, Outcome};
use coracle_runtime::spec::{ContainerSpec, Listener};

use crate::service::component;
use crate::world::{Ran, World};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

struct Service {
    address: SocketAddr,
    drain: Drain,
    interrupt: Interrupt,
    stderr: std::path::PathBuf,
    thread: JoinHandle<Ran>,
}

impl Service {
    fn start() -> Self {
        Self::with(|_| {})
    }

    fn with(edit: impl FnOnce(&mut ContainerSpec) + Send + 'static) -> Self {
        let world = World::new();
        let engine = world.engine();
        let publish = "127.0.0.1::80".parse().expect("a grant");
        let listeners = Listener::open(&publish).expect("a free port");
        let address = listeners[0].address;
        let (drain, interrupt) = (
            engine.drain().expect("a pipe"),
            engine.interrupt().expect("a pipe"),
        );
        let stderr = world.path("stderr");
        let thread = std::thread::spawn(move || {
            world.run_on(&engine, component(), |spec| {
                spec.listeners = listeners;
                edit(spec);
            })
        });
        Self {
            address,
            drain,
            interrupt,
            stderr,
            thread,
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("it accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time");
        stream
    }

    /// Sends a whole request in a connection of its own and returns the whole answer.
    fn ask(&self, request: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).expect("it is read");
        read_all(&mut stream)
    }

    fn get(&self, path: &str) -> String {
        self.ask(&format!(
            "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
        ))
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.stderr).expect("text on stderr")
    }

    /// Ends it in peace.
    fn end(self) -> Ran {
        self.drain.ask();
        self.thread.join().expect("no panic")
    }
}

fn read_all(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A connection that is cut may be reset.
    let _cut = stream.read_to_end(&mut answer);
    String::from_utf8(answer).expect("text")
}

fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    let mut byte = [0];
    while !text.ends_with(end) {
        stream
            .read_exact(&mut byte)
            .unwrap_or_else(|error| panic!("{error} after {text:?}"));
        text.push(char::from(byte[0]));
    }
    text
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "waited too long: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or(answer)
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

#[test]
fn status_headers_and_body_arrive() {
    let service = Service::start();
    let hello = service.get("/");
    assert!(hello.starts_with("HTTP/1.1 200 OK\r\n"), "{hello}");
    // All of it was there at once, so its length is known.
    assert!(hello.contains("content-length: 6\r\n"), "{hello}");
    assert_eq!(body(&hello), "hello\n");
    let headers = service.get("/headers");
    assert_eq!(status(&headers), "418");
    for header in ["content-type: text/csv", "x-two: 1", "x-two: 2"] {
        assert!(headers.contains(&format!("{header}\r\n")), "{headers}");
    }
    assert_eq!(status(&service.get("/nothing")), "404");
    assert_eq!(service.end().code(), 0);
}

#[test]
fn each_request_has_an_instance_of_its_own() {
    let service = Service::start();
    let mut stream = service.connect();
    for _ in 0..3 {
        let request = "GET /visits HTTP/1.1\r\nHost: test\r\n\r\n";
        stream.write_all(request.as_bytes()).expect("it is read");
        let head = read_until(&mut stream, "\r\n\r\n");
        assert!(head.contains("content-length: 1\r\n"), "{head}");
        assert_eq!(read_until(&mut stream, "1"), "1");
    }
    // While that connection is open and idle.
    assert_eq!(service.end().code(), 0);
}

#[test]
fn bodies_pass_chunk_by_chunk_in_both_directions() {
    let service = Service::start();
    let mut stream = service.connect();
    let head = "POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).expect("it is read");
    for chunk in ["one", "three", "seventeen"] {
        write!(stream, "{:x}\r\n{chunk}\r\n", chunk.len()).expect("it is read");
        // It comes back before the next one is sent.
        read_until(&mut stream, &format!("{chunk}\r\n"));
    }
    stream.write_all(b"0\r\n\r\n").expect("it is read");
    assert_eq!(read_all(&mut stream), "0\r\n\r\n");
    assert_eq!(service.end().code(), 0);
}

#[test]
fn large_bodies_need_no_large_memory() {
    const SIZE: usize = 64 << 20;
    // The guest has one page and a heap of 1 MiB: it could not hold them.
    let service = Service::with(|spec| spec.limits.memory = Some(Size::from_bytes(4 << 20)));
    let mut stream = service.connect();
    let head = format!(
        "POST /bytes HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: {SIZE}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("it is read");
    let zeros = vec![0; 1 << 20];
    for _ in 0..SIZE >> 20 {
        stream.write_all(&zeros).expect("it is read");
    }
    assert_eq!(body(&read_all(&mut stream)), SIZE.to_string());
    let mut stream = service.connect();
    let request = "GET /big HTTP/1.0\r\nHost: test\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("it is read");
    read_until(&mut stream, "\r\n\r\n");
    let count = io::copy(&mut stream, &mut io::sink()).expect("all of it");
    assert_eq!(count, SIZE as u64);
    assert_eq!(service.end().code(), 0);
}

#[test]
fn trailers_go_to_those_who_want_them() {
    let service = Service::start();
    let wanted = service
        .ask("GET /trailers HTTP/1.1\r\nHost: test\r\nTE: trailers\r\nConnection: close\r\n\r\n");
    assert!(
        wanted.ends_with("4\r\nbody\r\n0\r\nx-end: yes\r\n\r\n"),
        "{wanted}"
    );
    let unwanted = service.get("/trailers");
    assert!(unwanted.ends_with("4\r\nbody\r\n0\r\n\r\n"), "{unwanted}");
    assert_eq!(service.end().code(), 0);
}

#[test]
fn head_gets_headers_alone() {
    let service = Service::start();
    for path in ["/headers", "/drip"] {
        let answer = service.ask(&format!(
            "HEAD {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
        ));
        assert!(answer.ends_with("\r\n\r\n"), "{answer}");
        assert_eq!(body(&answer), "", "{answer}");
    }
    let ran = service.end();
    assert_eq!((ran.code(), ran.stderr), (0, Vec::new()));
}

#[test]
fn a_client_may_ask_first_whether_to_send() {
    let service = Service::start();
    let mut stream = service.connect();
    let head = "POST /bytes HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).expect("it is read");
    let go = read_until(&mut stream, "\r\n\r\n");
    assert_eq!(go, "HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"abc").expect("it is read");
    assert_eq!(body(&read_all(&mut stream)), "3");
    assert_eq!(service.end().code(), 0);
}

#[test]
fn a_guest_that_fails_is_its_own_clients_matter() {
    let service = Service::start();
    for path in ["/trap", "/silent", "/drop", "/error"] {
        let answer = service.get(path);
        assert_eq!(status(&answer), "500", "{answer}");
        assert_eq!(body(&service.get("/")), "hello\n");
    }
    // It had begun to answer: the client must see that the answer is not whole.
    let cut = service.get("/trap-late");
    assert!(
        cut.contains("begun\n") && !cut.ends_with("0\r\n\r\n"),
        "{cut}"
    );
    let ran = service.end();
    assert_eq!(ran.code(), 0);
    let said = String::from_utf8(ran.stderr).expect("text");
    for line in [
        "GET /trap: the guest trapped: wasm `unreachable` instruction executed",
        "GET /silent: the guest ended without an answer",
        "GET /drop: the guest gave its answer away",
        "GET /error: the guest answered with the error",
        "GET /trap-late: the guest trapped: wasm `unreachable` instruction executed",
    ] {
        assert!(
            said.lines().any(|said| said.starts_with(line)),
            "{line} in {said}"
        );
    }
}

#[test]
fn guests_that_never_end_leave_room_for_others_and_end_with_their_clients() {
    let service = Service::start();
    let many = std::thread::available_parallelism().map_or(1, usize::from) * 2 + 1;
    let loops: Vec<TcpStream> = (0..many)
        .map(|_| {
            let mut stream = service.connect();
            let request = "GET /loop HTTP/1.1\r\nHost: test\r\n\r\n";
            stream.write_all(request.as_bytes()).expect("it is read");
            stream
        })
        .collect();
    for _ in 0..10 {
        assert_eq!(body(&service.get("/")), "hello\n");
    }
    drop(loops);
    // Guests that still ran would not be waited for that long.
    assert_eq!(service.end().code(), 0);
}

#[test]
fn a_client_that_goes_away_ends_its_answer() {
    let service = Service::start();
    let mut stream = service.connect();
    let request = "GET /endless HTTP/1.1\r\nHost: test\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("it is read");
    read_until(&mut stream, "drop\n");
    drop(stream);
    assert_eq!(service.end().code(), 0);
}

#[test]
fn a_guest_may_go_on_after_its_answer() {
    let service = Service::start();
    assert_eq!(body(&service.get("/after")), "9\r\nanswered\n\r\n0\r\n\r\n");
    let ran = service.end();
    assert_eq!(ran.code(), 0);
    assert_eq!(ran.stderr, b"afterwards\n");
}

#[test]
fn two_clients_are_served_at_once() {
    let service = Service::start();
    let mut slow = service.connect();
    let request = "GET /drip HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
    slow.write_all(request.as_bytes()).expect("it is read");
    read_until(&mut slow, "drop\n");
    assert_eq!(body(&service.get("/")), "hello\n");
    let rest = read_all(&mut slow);
    assert_eq!(rest.matches("drop\n").count(), 3, "{rest}");
    assert_eq!(service.end().code(), 0);
}

#[test]
fn all_requests_share_the_memory_limit() {
    let with = |memory: Option<&str>| {
        let memory = memory.map(|memory| memory.parse().expect("a size"));
        Service::with(move |spec| spec.limits.memory = memory)
    };
    for (memory, want) in [(Some("32m"), "refused\n"), (None, "grown\n")] {
        let service = with(memory);
        for _ in 0..2 {
            assert_eq!(body(&service.get("/grow")), want);
        }
        assert_eq!(service.end().code(), 0);
    }
    let service = with(Some("100m"));
    let mut holder = service.connect();
    let request = "GET /hold HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
    holder.write_all(request.as_bytes()).expect("it is read");
    read_until(&mut holder, "held\n");
    assert_eq!(body(&service.get("/grow")), "refused\n");
    read_all(&mut holder);
    // Given back with the guest's end, which comes a moment after its answer's.
    wait_until("there is memory again", || {
        body(&service.get("/grow")) == "grown\n"
    });
    assert_eq!(service.end().code(), 0);
}

#[test]
fn what_was_begun_is_finished() {
    let service = Service::start();
    let address = service.address;
    let mut sleeper = service.connect();
    let request = "GET /sleep HTTP/1.1\r\nHost: test\r\n\r\n";
    sleeper.write_all(request.as_bytes()).expect("it is read");
    // So that the request is there before the end is asked for.
    assert_eq!(body(&service.get("/")), "hello\n");
    service.drain.ask();
    wait_until("nobody more is accepted", || {
        TcpStream::connect(address).is_err()
    });
    assert_eq!(body(&read_all(&mut sleeper)), "slept\n");
    let ran = service.thread.join().expect("no panic");
    assert_eq!(ran.code(), 0);
}

#[test]
fn what_does_not_end_is_cut_short() {
    let service = Service::start();
    let mut endless = service.connect();
    let request = "GET /loop HTTP/1.1\r\nHost: test\r\n\r\n";
    endless.write_all(request.as_bytes()).expect("it is read");
    assert_eq!(body(&service.get("/")), "hello\n");
    assert_eq!(service.end().code(), 143);
}

#[test]
fn more_at_once_than_the_pool_has_places_for_are_answered() {
    let service = Service::start();
    let mut clients: Vec<TcpStream> = (0..140).map(|_| service.connect()).collect();
    for client in &mut clients {
        client
            .write_all(b"GET /drip HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
            .expect("it is read");
    }
    for mut client in clients {
        let answer = read_all(&mut client);
        assert_eq!(answer.matches("drop\n").count(), 4, "{answer}");
    }
    // Whoever comes next into one of the places finds nothing of them.
    for _ in 0..140 {
        // HTTP/1.0 knows no chunks.
        let answer = service.ask("GET /visits HTTP/1.0\r\nHost: test\r\n\r\n");
        assert_eq!(body(&answer), "1");
    }
    assert_eq!(service.end().code(), 0);
}

#[test]
fn an_interrupt_ends_everything_at_once() {
    let service = Service::start();
    let mut endless = service.connect();
    let request = "GET /loop HTTP/1.1\r\nHost: test\r\n\r\n";
    endless.write_all(request.as_bytes()).expect("it is read");
    assert_eq!(body(&service.get("/")), "hello\n");
    service.interrupt.raise();
    let ran = service.thread.join().expect("no panic");
    assert_eq!(ran.result.expect("no host error"), Outcome::Interrupted);
}

#[test]
fn hostile_heads_are_refused() {
    let service = Service::start();
    let endless = format!(
        "GET / HTTP/1.1\r\nHost: test\r\nX-Long: {}\r\n\r\n",
        "a".repeat(200 << 10)
    );
    let many: String = (0..200).map(|n| format!("x-{n}: 1\r\n")).collect();
    for (request, want) in [
        // What was not read resets the connection, which may overtake the answer.
        (endless.as_str(), &["431", ""][..]),
        (
            &format!("GET / HTTP/1.1\r\nHost: test\r\n{many}\r\n"),
            &["431"],
        ),
        ("GET / HTTP/1.1\r\nConnection: close\r\n\r\n", &["400"]),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n",
            &["400"],
        ),
        (
            "GET / HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n",
            &["400"],
        ),
        (
            "GET / HTTP/1.1\r\nConnection: close\r\nHost: \u{e9}\r\n\r\n",
            &["400"],
        ),
        ("no request\r\n\r\n", &["400"]),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            &["400"],
        ),
        ("GET / HTTP/1.0\r\n\r\n", &["200"]),
    ] {
        let mut stream = service.connect();
        // It may have been refused before all is sent.
        let _refused = stream.write_all(request.as_bytes());
        let answer = read_all(&mut stream);
        assert!(want.contains(&status(&answer)), "{:.80}: {answer}", request);
    }
    assert_eq!(body(&service.get("/")), "hello\n");
    assert_eq!(service.end().code(), 0);
}

#[test]
fn slow_clients_do_not_hold_up_others() {
    let service = Service::start();
    let slow: Vec<TcpStream> = (0..300)
        .map(|n| {
            let mut stream = service.connect();
            let begun = [
                "",
                "G",
                "GET / HTTP/1.1\r\nHo",
                "POST /bytes HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1",
            ];
            stream
                .write_all(begun[n % begun.len()].as_bytes())
                .expect("room");
            stream
        })
        .collect();
    for _ in 0..20 {
        assert_eq!(body(&service.get("/")), "hello\n");
    }
    drop(slow);
    assert_eq!(service.end().code(), 0);
}

#[test]
fn http2_is_spoken_to_those_who_begin_with_it() {
    use http_body_util::{BodyExt, Empty};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    let service = Service::start();
    let address = service.address;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("an event loop");
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(address)
            .await
            .expect("it accepts");
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .expect("it answers");
        let driver = tokio::spawn(connection);
        for (path, want) in [
            ("/", "hello\n"),
            ("/visits", "1"),
            ("/drip", "drop\ndrop\ndrop\ndrop\n"),
        ] {
            let request = hyper::Request::get(format!("http://test{path}"))
                .body(Empty::<bytes::Bytes>::new())
                .expect("a request");
            let answer = sender.send_request(request).await.expect("an answer");
            let bytes = answer
                .into_body()
                .collect()
                .await
                .expect("all of it")
                .to_bytes();
            assert_eq!(bytes, want);
        }
        drop(sender);
        driver.await.expect("no panic").expect("a clean end");
    });
    assert_eq!(service.end().code(), 0);
}

#[test]
fn standard_error_and_the_environment_are_the_containers() {
    let service = Service::with(|spec| spec.env.push(("NAME".to_owned(), "value".to_owned())));
    let environment = service.ask("GET /environment HTTP/1.0\r\nHost: test\r\n\r\n");
    assert_eq!(body(&environment), "NAME=value\n");
    service.get("/stderr");
    assert_eq!(service.said(), "said\n");
    assert_eq!(service.end().code(), 0);
}

#[test]
fn without_a_port_it_is_not_started() {
    let ran = World::new().run(component(), |_| {});
    assert_eq!(
        ran.refusal(),
        "program \"/program.wasm\" answers HTTP requests, and no port of it is published"
    );
}
