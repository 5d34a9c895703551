//! Names and addresses against a name server of the test's own, which says what an attacker's would.

use std::future::Future;
use std::net::{Ipv4Addr, UdpSocket};
use std::thread::JoinHandle;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};

use super::*;

/// Remembers what it was told.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Observer for Notes {
    fn used(&self, capability: &Capability) {
        self.note(format!("used {capability}"));
    }

    fn refused(&self, capability: &Capability) {
        self.note(format!("refused {capability}"));
    }
}

impl Notes {
    fn note(&self, text: String) {
        self.0.lock().expect("no panic").push(text);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().expect("no panic"))
    }
}

/// A name server that answers the first question for an IPv4 address with the first address, and so on; with the last one
/// for ever. It has no IPv6 addresses.
fn name_server(answers: Vec<Ipv4Addr>) -> (u16, JoinHandle<()>) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let port = socket.local_addr().expect("bound").port();
    let thread = std::thread::spawn(move || {
        let mut answers = answers.into_iter().peekable();
        let mut last = Ipv4Addr::UNSPECIFIED;
        let mut buffer = [0; 1500];
        // An empty datagram ends it.
        while let Ok((len @ 1.., from)) = socket.recv_from(&mut buffer) {
            // Header of 12 bytes, name, type, class; behind that only additions.
            let name = buffer[12..len]
                .iter()
                .position(|byte| *byte == 0)
                .expect("a name");
            let end = 12 + name + 1 + 4;
            let is_a = buffer[end - 4..end - 2] == [0, 1];
            let mut answer = buffer[..end].to_vec();
            // An answer, recursion available; one question, and one answer or none.
            answer[2..4].copy_from_slice(&[0x81, 0x80]);
            answer[4..12].copy_from_slice(&[0, 1, 0, u8::from(is_a), 0, 0, 0, 0]);
            if is_a {
                last = answers.next().unwrap_or(last);
                // The name as asked, type A, class IN, valid for 0 seconds, 4 bytes.
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
                answer.extend(last.octets());
            }
            socket.send_to(&answer, from).expect("sent");
        }
    });
    (port, thread)
}

fn network(rules: &[&str], port: u16) -> (Network, Arc<Notes>) {
    let mut policy = NetPolicy {
        connect: rules.iter().map(|rule| rule.parse().expect(rule)).collect(),
        ..NetPolicy::default()
    };
    policy.settle();
    let mut connection = ConnectionConfig::udp();
    connection.port = port;
    let server = NameServerConfig::new(Ipv4Addr::LOCALHOST.into(), true, vec![connection]);
    let config = ResolverConfig::from_name_servers(vec![server]);
    let notes = Arc::new(Notes::default());
    let network = Network {
        policy,
        resolver: Resolver::with(Vec::new(), Some((config, ResolverOpts::default()))),
        known: Mutex::default(),
        listeners: Mutex::default(),
        observer: Some(notes.clone()),
        tls: None,
        requests: Arc::new(Semaphore::new(MOST_REQUESTS)),
    };
    (network, notes)
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("an event loop")
        .block_on(future)
}

fn stop(port: u16, thread: JoinHandle<()>) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.send_to(&[], ("127.0.0.1", port)).expect("sent");
    thread.join().expect("the name server");
}

fn to(text: &str) -> SocketAddr {
    text.parse().expect(text)
}

#[test]
fn a_name_is_what_it_resolved_to_and_rebinding_gains_nothing() {
    let answers = [
        [1, 2, 3, 4],
        [127, 0, 0, 1],
        [169, 254, 169, 254],
        [10, 0, 0, 1],
    ];
    let (port, thread) = name_server(answers.map(Ipv4Addr::from).to_vec());
    let (network, notes) = network(&["tcp://evil.example:80"], port);
    run(async {
        // Nothing before it was looked up.
        assert!(!network.may_connect(Scheme::Tcp, to("1.2.3.4:80")));
        for (address, allowed) in [
            ("1.2.3.4", true),
            ("127.0.0.1", false),
            ("169.254.169.254", false),
        ] {
            let found = network.resolve("Evil.Example.").await.expect("an answer");
            assert_eq!(found, [address.parse::<IpAddr>().expect(address)]);
            let to = SocketAddr::new(found[0], 80);
            assert_eq!(network.may_connect(Scheme::Tcp, to), allowed, "{address}");
        }
        // What it resolved to before is still what this guest was told.
        assert!(network.may_connect(Scheme::Tcp, to("1.2.3.4:80")));
        assert!(!network.may_connect(Scheme::Tcp, to("1.2.3.4:81")));
        assert!(!network.may_connect(Scheme::Udp, to("1.2.3.4:80")));
    });
    let notes = notes.take();
    assert_eq!(notes[0], "refused tcp://1.2.3.4:80");
    assert!(
        notes.contains(&"used tcp://evil.example:80".to_owned()),
        "{notes:?}"
    );
    // A special address has to be named itself; an ordinary one by its name.
    assert!(
        notes.contains(&"refused tcp://127.0.0.1:80".to_owned()),
        "{notes:?}"
    );
    assert!(
        notes.contains(&"refused tcp://169.254.169.254:80".to_owned()),
        "{notes:?}"
    );
    assert!(
        notes.contains(&"refused tcp://evil.example:81".to_owned()),
        "{notes:?}"
    );
    assert!(
        notes.contains(&"refused udp://evil.example:80".to_owned()),
        "{notes:?}"
    );
    stop(port, thread);
}

#[test]
fn only_granted_names_are_asked_for() {
    let (port, thread) = name_server(vec![Ipv4Addr::new(1, 2, 3, 4)]);
    let (network, notes) = network(&["tcp://a.example:80", "https://b.example"], port);
    run(async {
        assert_eq!(
            network.resolve("c.example").await,
            Err(ResolveError::Refused)
        );
        assert_eq!(
            network.resolve("x.a.example").await,
            Err(ResolveError::Refused)
        );
        for text in [
            "127.1",
            "2130706433",
            "0x7f000001",
            "0177.0.0.1",
            "a..example",
            "bücher.example",
            "",
        ] {
            assert_eq!(
                network.resolve(text).await,
                Err(ResolveError::Invalid),
                "{text}"
            );
        }
        assert!(network.resolve("b.example").await.is_ok());
        let refused = network.resolve_for(Scheme::Https, "c.example", 443).await;
        assert_eq!(refused, Err(ResolveError::Refused));
        // Known by name, but for requests only.
        assert!(network.may_connect(Scheme::Https, to("1.2.3.4:443")));
        assert!(!network.may_connect(Scheme::Tcp, to("1.2.3.4:443")));
    });
    let notes = notes.take();
    assert_eq!(notes[..2], ["refused c.example", "refused x.a.example"]);
    assert!(
        notes.contains(&"refused https://c.example:443".to_owned()),
        "{notes:?}"
    );
    stop(port, thread);
}

#[test]
fn localhost_is_this_machine_whatever_a_name_server_says() {
    let (port, thread) = name_server(vec![Ipv4Addr::new(1, 2, 3, 4)]);
    let (network, _) = network(&["tcp://localhost:80", "tcp://*.localhost:80"], port);
    run(async {
        let found = network.resolve("localhost").await.expect("an answer");
        assert!(found.iter().all(IpAddr::is_loopback) && found.len() == 2);
        assert!(network.may_connect(Scheme::Tcp, to("127.0.0.1:80")));
        assert!(network.may_connect(Scheme::Tcp, to("[::1]:80")));
        assert!(!network.may_connect(Scheme::Tcp, to("1.2.3.4:80")));
    });
    stop(port, thread);
}

#[test]
fn without_a_policy_nothing_is_allowed_and_all_of_it_is_told() {
    let (network, notes) = network(&[], 1);
    run(async {
        assert_eq!(
            network.resolve("a.example").await,
            Err(ResolveError::Refused)
        );
    });
    assert!(!network.may_connect(Scheme::Tcp, to("[64:ff9b::a9fe:a9fe]:80")));
    assert!(matches!(network.listen(Protocol::Tcp, 80), Listen::Refused));
    assert_eq!(
        notes.take(),
        [
            "refused a.example",
            "refused tcp://[64:ff9b::a9fe:a9fe]:80",
            "refused 80:80"
        ]
    );
}
