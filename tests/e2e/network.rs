//! The network: nothing without a grant, what was granted and no more, and what is said about it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Stdio;
use std::time::Duration;

use crate::world::{Running, World};

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
