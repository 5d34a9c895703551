//! Components that answer HTTP requests, published with `-p`.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::service::component;
use crate::world::{Running, World, wait_until};

/// A running container that answers requests.
struct Service<'a> {
    world: &'a World,
    name: &'static str,
    running: Running,
    address: SocketAddr,
}

impl<'a> Service<'a> {
    fn start(world: &'a World, name: &'static str, image: &str, more: &[&str]) -> Self {
        let mut arguments = vec!["run", "--name", name, "-p", "127.0.0.1::80"];
        arguments.extend(more);
        arguments.push(image);
        Self::launch(world, name, world.command(&arguments))
    }

    fn launch(world: &'a World, name: &'static str, mut command: Command) -> Self {
        let log = File::create(world.path(&format!("{name}.log"))).expect("a log");
        command.stderr(log).stdout(Stdio::null());
        let running = Running::start(&mut command);
        let address = || {
            let output = world.run(&["inspect", name]);
            let inspected: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
            let binding = &inspected[0]["NetworkSettings"]["Ports"]["80/tcp"][0];
            let (ip, port) = (binding["HostIp"].as_str()?, binding["HostPort"].as_str()?);
            format!("{ip}:{port}").parse::<SocketAddr>().ok()
        };
        wait_until("the port is open", || {
            address().is_some_and(|address| TcpStream::connect(address).is_ok())
        });
        Self {
            world,
            name,
            running,
            address: address().expect("it was there"),
        }
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.address).expect("it accepts");
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .expect("a time");
        write!(stream, "GET {path} HTTP/1.0\r\nHost: test\r\n\r\n").expect("it is read");
        let mut answer = String::new();
        // What is cut short may be reset.
        let _cut = stream.read_to_string(&mut answer);
        answer
    }

    fn curl(&self, arguments: &[&str], path: &str) -> String {
        let url = format!("http://{}{path}", self.address);
        let arguments = [&["-sS", "--max-time", "60"], arguments, &[&url]].concat();
        self.world.tool_ok("curl", &arguments)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.world.path(&format!("{}.log", self.name))).expect("the log")
    }

    /// Ends it with a signal, and returns its code.
    fn end(mut self, signal: &str) -> Option<i32> {
        let pid = self.running.0.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status();
        assert!(sent.expect("kill runs").success());
        self.running.0.wait().expect("it ends").code()
    }
}

fn image(world: &World) {
    world.build(
        "service",
        "FROM scratch\nCOPY app.wasm /\nENV A=image\nENTRYPOINT [\"/app.wasm\"]\n",
        &[],
        &[("app.wasm", &component())],
    );
}

#[test]
fn curl_gets_answers_and_sends_bodies() {
    let world = World::new();
    image(&world);
    let service = Service::start(&world, "web", "service", &["-e", "B=user"]);
    assert_eq!(service.curl(&[], "/"), "hello\n");
    assert_eq!(service.curl(&["-d", "a body"], "/echo"), "a body");
    assert_eq!(service.curl(&["--http2-prior-knowledge"], "/"), "hello\n");
    assert!(
        service
            .curl(&["-i"], "/headers")
            .starts_with("HTTP/1.1 418")
    );
    let environment = service.curl(&[], "/environment");
    assert!(environment.contains("A=image\nB=user\n"), "{environment}");
    // Behind both walls, memory is still mapped anew for each.
    for _ in 0..50 {
        assert_eq!(service.curl(&[], "/visits"), "1");
    }
    assert_eq!(service.end("-TERM"), Some(0));
    let inspected = world.json(&["inspect", "web"]);
    assert_eq!(inspected[0]["State"]["ExitCode"], 0);
}

#[test]
fn a_service_with_few_addresses_does_without_a_pool() {
    let world = World::new();
    image(&world);
    let coracle = env!("CARGO_BIN_EXE_coracle");
    let limit = format!("--as={}", 3_u64 << 30);
    let arguments = [
        &limit,
        coracle,
        "run",
        "--name",
        "web",
        "-p",
        "127.0.0.1::80",
        "service",
    ];
    let service = Service::launch(&world, "web", world.tool("prlimit", &arguments));
    for _ in 0..10 {
        assert_eq!(service.curl(&[], "/visits"), "1");
    }
    assert_eq!(service.end("-TERM"), Some(0));
}

#[test]
fn one_guests_trap_does_not_end_the_service() {
    let world = World::new();
    image(&world);
    let service = Service::start(&world, "web", "service", &[]);
    assert!(service.get("/trap").starts_with("HTTP/1.0 500"));
    assert!(service.get("/").ends_with("\r\nhello\n"));
    assert!(
        service.log().contains("GET /trap: the guest trapped: "),
        "{}",
        service.log()
    );
    assert_eq!(service.end("-INT"), Some(0));
}

#[test]
fn what_was_begun_is_answered_before_the_end() {
    let world = World::new();
    image(&world);
    let service = Service::start(&world, "web", "service", &[]);
    let mut stream = TcpStream::connect(service.address).expect("it accepts");
    write!(stream, "GET /sleep HTTP/1.1\r\nHost: test\r\n\r\n").expect("it is read");
    // So that the first one has been accepted.
    assert!(service.get("/").ends_with("\r\nhello\n"));
    assert_eq!(service.end("-TERM"), Some(0));
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.ends_with("\r\nslept\n"), "{answer}");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let world = World::new();
    image(&world);
    let service = Service::start(&world, "web", "service", &[]);
    let mut stream = TcpStream::connect(service.address).expect("it accepts");
    write!(stream, "GET /loop HTTP/1.1\r\nHost: test\r\n\r\n").expect("it is read");
    assert!(service.get("/").ends_with("\r\nhello\n"));
    let pid = service.running.0.id().to_string();
    let first = Command::new("kill").args(["-TERM", &pid]).status();
    assert!(first.expect("kill runs").success());
    wait_until("it accepts nobody more", || {
        TcpStream::connect(service.address).is_err()
    });
    assert_eq!(service.end("-TERM"), Some(143));
}

#[test]
fn two_services_at_once_have_nothing_in_common() {
    let world = World::new();
    image(&world);
    let one = Service::start(&world, "one", "service", &["-e", "NAME=one"]);
    let two = Service::start(&world, "two", "service", &["-e", "NAME=two"]);
    assert!(one.get("/environment").contains("NAME=one\n"));
    assert!(two.get("/environment").contains("NAME=two\n"));
    assert_eq!(one.end("-TERM"), Some(0));
    assert!(two.get("/").ends_with("\r\nhello\n"));
    assert_eq!(two.end("-TERM"), Some(0));
}

#[test]
fn without_a_port_the_message_names_the_flag() {
    let world = World::new();
    image(&world);
    assert_eq!(
        world.refused(&["run", "--rm", "service"]),
        "coracle: program \"/app.wasm\" answers HTTP requests, and no port of it is published\n\
         Hint: publish one, such as `-p 8080:80`; which port of the container it is called makes no difference\n"
    );
}

#[test]
fn a_service_in_the_background_keeps_its_port() {
    let world = World::new();
    image(&world);
    world.ok(&[
        "run",
        "-d",
        "--name",
        "bg",
        "-p",
        "127.0.0.1::80",
        "service",
    ]);
    let address = || {
        let inspected = world.json(&["inspect", "bg"]);
        let binding = &inspected[0]["NetworkSettings"]["Ports"]["80/tcp"][0];
        let (ip, port) = (&binding["HostIp"], &binding["HostPort"]);
        format!(
            "{}:{}",
            ip.as_str().expect("an address"),
            port.as_str().expect("a port")
        )
        .parse::<SocketAddr>()
        .expect("an address")
    };
    let first = address();
    TcpStream::connect(first).expect("it listens when the command is back");
    world.ok(&["restart", "bg"]);
    assert_eq!(address(), first);
    TcpStream::connect(first).expect("it listens again");
    // Its port is taken, and who wants it is told before anything runs.
    let publish = format!("{first}:80");
    let message = world.refused(&["run", "-d", "--name", "no", "-p", &publish, "service"]);
    assert!(message.contains(&first.to_string()), "{message}");
    world.ok(&["stop", "bg"]);
    world.ok(&["run", "-d", "--name", "yes", "-p", &publish, "service"]);
    TcpStream::connect(first).expect("the next one listens");
    world.ok(&["rm", "-f", "bg", "yes"]);
}
