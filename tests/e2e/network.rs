//! The network: nothing without a grant, what was granted and no more, and what is said about it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Stdio;
use std::time::Duration;

use crate::net_guest;
use crate::world::{Output, Running, World};

/// The image of a guest that answers on ports that it finds open, with a file of its own.
fn server(world: &World) {
    world.build(
        "serve",
        "FROM scratch\nCOPY serve.wasm a.txt /\nEXPOSE 80 90/udp\nENTRYPOINT [\"/serve.wasm\"]\n",
        &["serve"],
        &[("a.txt", b"from the image\n")],
    );
}

/// Starts a container and waits for its first line.
fn start(world: &World, arguments: &[&str]) -> (Running, String) {
    let mut command = world.command(arguments);
    command.stdout(Stdio::piped());
    let mut running = Running::start(&mut command);
    let mut line = String::new();
    let stdout = running.0.stdout.take().expect("a pipe");
    BufReader::new(stdout).read_line(&mut line).expect("a line");
    (running, line)
}

/// Says something to a server, and returns all that it answers.
fn ask(address: SocketAddr, text: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("a listening port");
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .expect("a timeout");
    stream.write_all(text.as_bytes()).expect("sent");
    stream.shutdown(Shutdown::Write).expect("shut down");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

/// Where the only container that runs listens for a port of its own.
fn host_port(world: &World, name: &str, port: &str) -> SocketAddr {
    let inspected = world.json(&["inspect", name]);
    let binding = &inspected[0]["NetworkSettings"]["Ports"][port][0];
    let text = |key: &str| binding[key].as_str().expect("a binding").to_owned();
    format!("{}:{}", text("HostIp"), text("HostPort"))
        .parse()
        .expect("an address")
}

#[test]
fn a_module_serves_on_published_ports_and_still_has_its_files() {
    let world = World::new();
    server(&world);
    let arguments = [
        "run",
        "--rm",
        "--name",
        "web",
        "-p",
        "127.0.0.1::80",
        "-p",
        "127.0.0.1::81",
        "serve",
        "2",
        "1",
    ];
    let (mut running, line) = start(&world, &arguments);
    assert_eq!(line, "ports 2\n");
    let address = host_port(&world, "web", "81/tcp");
    let listed = world.ok(&["ps"]);
    assert!(listed.contains(&format!("{address}->81/tcp")), "{listed}");
    // The second port, so the connection to the first one must not count.
    let other = TcpStream::connect(host_port(&world, "web", "80/tcp")).expect("open as well");
    for text in ["one ", "two "] {
        assert_eq!(ask(address, text), format!("{text}from the image\n"));
    }
    drop(other);
    assert_eq!(running.0.wait().expect("it ends").code(), Some(0));
    assert!(
        TcpStream::connect(address).is_err(),
        "closed with the container"
    );
}

#[test]
fn every_exposed_port_can_be_published_at_once() {
    let world = World::new();
    server(&world);
    let (running, line) = start(&world, &["run", "--rm", "--name", "all", "-P", "serve"]);
    assert_eq!(line, "ports 1\n");
    let inspected = world.json(&["inspect", "all"]);
    let ports = inspected[0]["NetworkSettings"]["Ports"]
        .as_object()
        .expect("ports");
    assert_eq!(ports.keys().collect::<Vec<_>>(), ["80/tcp", "90/udp"]);
    assert!(
        ports
            .values()
            .all(|binding| binding[0]["HostIp"] == "0.0.0.0")
    );
    drop(running);
}

#[test]
fn without_a_grant_no_port_is_open() {
    let world = World::new();
    server(&world);
    let output = world.run(&["run", "--name", "shut", "serve"]);
    assert_eq!(output.code, Some(1));
    assert!(
        output.text().starts_with("ports none\npoll:"),
        "{}",
        output.text()
    );
    let inspected = world.json(&["inspect", "shut"]);
    assert_eq!(inspected[0]["HostConfig"]["NetworkMode"], "none");
    assert_eq!(
        inspected[0]["Config"]["ExposedPorts"],
        serde_json::json!({"80/tcp": {}, "90/udp": {}})
    );
}

#[test]
fn a_port_that_is_taken_is_told_before_anything_runs() {
    let world = World::new();
    server(&world);
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("bound").port();
    let publish = format!("127.0.0.1:{port}:80");
    let message = world.refused(&["run", "--name", "late", "-p", &publish, "serve"]);
    assert!(
        message.contains(&format!("opening port 127.0.0.1:{port} (tcp)"))
            && message.contains("Hint: choose another host port"),
        "{message}"
    );
    assert_eq!(world.ok(&["ps", "-aq"]), "");
}

#[test]
fn flags_that_mean_nothing_are_refused() {
    let world = World::new();
    for (arguments, want) in [
        (&["-p", "80:x"][..], "invalid containerPort: x"),
        (&["-p", "80/sctp"], "invalid proto: sctp"),
        (&["--network", "web"], "named networks do not exist yet"),
        (
            &["--network", "none", "-p", "80"],
            "--network none contradicts the other flags",
        ),
        (
            &["--allow-connect", "tcp://0x7f000001:80"],
            "it looks like an IPv4 address and is none",
        ),
        (
            &["--allow-connect", "https://a.example/x"],
            "a path cannot be granted",
        ),
        (&["--add-host", "x"], "bad format for add-host"),
    ] {
        let all = [&["run"], arguments, &["no-such-image"]].concat();
        let message = world.refused(&all);
        assert!(message.contains(want), "{arguments:?}: {message}");
    }
}

/// The image of a guest that does with the network what its arguments say.
fn client(world: &World) {
    world.build(
        "net",
        "FROM scratch\nCOPY net.wasm /\nENTRYPOINT [\"/net.wasm\"]\n",
        &[],
        &[("net.wasm", &net_guest::component())],
    );
}

/// Runs it with flags and arguments, each written with spaces between.
fn net(world: &World, flags: &str, arguments: &str) -> Output {
    let words = |text: &'static str| text.split(' ');
    let all: Vec<&str> = words("run --rm")
        .chain(flags.split(' ').filter(|word| !word.is_empty()))
        .chain(["net"])
        .chain(arguments.split(' '))
        .collect();
    world.run(&all).expect_code(0, &all)
}

/// Answers each connection with `answer` and what it says, `count` times; returns what was said.
fn peer(answer: &'static str, count: usize) -> (u16, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let thread = std::thread::spawn(move || {
        (0..count)
            .map(|_| {
                let (mut stream, _) = listener.accept().expect("a guest");
                let patience = Some(Duration::from_secs(30));
                stream.set_read_timeout(patience).expect("a timeout");
                let mut said = vec![0; 4096];
                let len = stream.read(&mut said).expect("said");
                stream.write_all(answer.as_bytes()).expect("answered");
                String::from_utf8_lossy(&said[..len]).into_owned()
            })
            .collect()
    });
    (port, thread)
}

#[test]
fn a_component_connects_where_it_may_and_nowhere_else() {
    let world = World::new();
    client(&world);
    let (port, thread) = peer("hi", 2);
    let tcp = format!("tcp 127.0.0.1 {port}");
    let granted = net(
        &world,
        &format!("--allow-connect tcp://127.0.0.1:{port}"),
        &tcp,
    );
    assert_eq!(granted.text(), "answer: hi\n", "{}", granted.errors());
    let host = net(&world, "--network host", &tcp);
    assert_eq!(host.text(), "answer: hi\n", "{}", host.errors());
    for flags in [
        String::new(),
        "--network none".to_owned(),
        format!("--allow-connect tcp://*:{port}"),
        format!("--allow-connect 0.0.0.0/0:{port}"),
        format!("--allow-connect udp://127.0.0.1:{port}"),
        format!("--allow-connect http://127.0.0.1:{port}"),
        "--allow-connect tcp://127.0.0.1:1".to_owned(),
        format!("--allow-connect tcp://127.0.0.2:{port}"),
    ] {
        let refused = net(&world, &flags, &tcp);
        assert_eq!(refused.text(), "connect: access-denied\n", "{flags}");
    }
    // Whatever it means to a system, it means nothing here.
    let flags = format!("--allow-connect tcp://*:{port}");
    let odd = net(
        &world,
        &flags,
        &format!("tcp 0.0.0.0 {port} tcp 169.254.169.254 {port}"),
    );
    assert_eq!(
        odd.text(),
        "connect: invalid-argument\nconnect: access-denied\n"
    );
    assert_eq!(thread.join().expect("the peer"), ["hello", "hello"]);
}

#[test]
fn names_are_looked_up_only_where_granted() {
    let world = World::new();
    client(&world);
    let (port, thread) = peer("hi", 2);
    let pinned = format!("--add-host db:127.0.0.1 --allow-connect tcp://db:{port}");
    let output = net(
        &world,
        &pinned,
        &format!("host db {port} name other.example name 127.1 name 0x7f000001"),
    );
    assert_eq!(
        output.text(),
        "address: 127.0.0.1\nanswer: hi\nname: access-denied\nname: invalid-argument\nname: invalid-argument\n",
        "{}",
        output.errors()
    );
    let local = format!("--allow-connect tcp://localhost:{port}");
    let output = net(&world, &local, &format!("host localhost {port}"));
    assert_eq!(
        output.text(),
        "address: 127.0.0.1\nanswer: hi\n",
        "{}",
        output.errors()
    );
    // May be looked up, and no more.
    let output = net(
        &world,
        "--allow-dns localhost",
        &format!("host localhost {port}"),
    );
    assert_eq!(
        output.text(),
        "address: 127.0.0.1\nconnect: access-denied\n"
    );
    let output = net(&world, "", "name localhost");
    assert_eq!(output.text(), "name: access-denied\n");
    thread.join().expect("the peer");
}

#[test]
fn a_component_listens_on_its_own_port_and_the_host_on_the_published() {
    let world = World::new();
    client(&world);
    let arguments = [
        "run",
        "--rm",
        "--name",
        "echo",
        "-p",
        "127.0.0.1::80",
        "net",
        "listen",
        "81",
        "listen",
        "80",
        "listen",
        "80",
    ];
    let mut command = world.command(&arguments);
    command.stdout(Stdio::piped());
    let mut running = Running::start(&mut command);
    let mut lines = BufReader::new(running.0.stdout.take().expect("a pipe")).lines();
    let mut line = || lines.next().expect("a line").expect("text");
    assert_eq!(line(), "bind: access-denied");
    let address = host_port(&world, "echo", "80/tcp");
    assert_eq!(line(), "listening: 80");
    assert_eq!(ask(address, "one"), "one");
    assert_eq!(line(), "served: 80");
    // The guest has not closed its socket.
    assert_eq!(line(), "bind: address-in-use");
    assert_eq!(running.0.wait().expect("it ends").code(), Some(0));
}

#[test]
fn datagrams_go_where_they_may_and_published_ports_answer() {
    let world = World::new();
    client(&world);
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket
        .set_read_timeout(Some(Duration::from_secs(30)))
        .expect("a timeout");
    let port = socket.local_addr().expect("bound").port();
    let thread = std::thread::spawn(move || {
        let mut buffer = [0; 64];
        let (len, from) = socket.recv_from(&mut buffer).expect("a datagram");
        socket.send_to(b"hi", from).expect("sent");
        buffer[..len].to_vec()
    });
    let udp = format!("udp 127.0.0.1 {port}");
    let granted = net(
        &world,
        &format!("--allow-connect udp://127.0.0.1:{port}"),
        &udp,
    );
    assert_eq!(granted.text(), "datagram: hi\n", "{}", granted.errors());
    assert_eq!(thread.join().expect("the peer"), b"hello");
    let other = net(&world, "--allow-connect udp://127.0.0.1:1", &udp);
    assert_eq!(other.text(), "send: access-denied\n");
    let none = net(
        &world,
        &format!("--allow-connect tcp://127.0.0.1:{port}"),
        &udp,
    );
    assert_eq!(none.text(), "bind: access-denied\n");

    let (running, line) = start(
        &world,
        &[
            "run",
            "--rm",
            "--name",
            "dns",
            "-p",
            "127.0.0.1::53/udp",
            "net",
            "answer",
            "53",
        ],
    );
    assert_eq!(line, "bound\n");
    let address = host_port(&world, "dns", "53/udp");
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket
        .set_read_timeout(Some(Duration::from_secs(30)))
        .expect("a timeout");
    socket.send_to(b"ping", address).expect("sent");
    let mut buffer = [0; 64];
    let (len, from) = socket.recv_from(&mut buffer).expect("an answer");
    assert_eq!((&buffer[..len], from), (&b"ping"[..], address));
    drop(running);
}

#[test]
fn a_request_goes_where_it_may_and_a_redirect_gains_nothing() {
    let world = World::new();
    client(&world);
    let (port, thread) = peer(
        "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.2/\r\ncontent-length: 2\r\n\r\nhi",
        4,
    );
    let to = format!("get http 127.0.0.1:{port} /x?y");
    // A program follows a redirect with a request of its own.
    let redirected = format!("{to} get http 127.0.0.2:{port} / get http user@127.0.0.1:{port} /");
    for scheme in ["http", "tcp"] {
        let output = net(
            &world,
            &format!("--allow-connect {scheme}://127.0.0.1:{port}"),
            &redirected,
        );
        let text = output.text();
        assert!(
            text.starts_with("status 302: hi\nget: error "),
            "{text} {}",
            output.errors()
        );
        assert!(!text[20..].contains("status"), "{text}");
    }
    let output = net(
        &world,
        &format!("--add-host web:127.0.0.1 --allow-connect http://web:{port}"),
        &format!(
            "get http web:{port} / get https web:{port} / get http 127.0.0.1:{port} / get http localhost:{port} /"
        ),
    );
    let text = output.text();
    assert!(
        text.starts_with("status 302: hi\n"),
        "{text} {}",
        output.errors()
    );
    // The address is what the name resolved to, so it is granted without the name as well. TLS and other names are not.
    let lines: Vec<_> = text.lines().map(|line| line.split(' ').next()).collect();
    assert_eq!(
        lines,
        ["status", "get:", "status", "get:"].map(Some),
        "{text}"
    );
    let requests = thread.join().expect("the peer");
    assert!(
        requests[0].starts_with("GET /x?y HTTP/1.1\r\n"),
        "{requests:?}"
    );
    let none = net(&world, "", &to);
    // HTTP-request-denied would be said of a name; this is destination-IP-prohibited.
    assert!(none.text().starts_with("get: error "), "{}", none.text());
}
