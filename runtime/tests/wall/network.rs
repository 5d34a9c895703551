//! Sockets: none without a port, and with one only TCP to that port.

use std::io;
use std::net::{TcpListener, TcpStream, UdpSocket};

use coracle_runtime::sandbox::wall::{Ports, Sockets, WallSpec};
use libc::{EACCES, EPERM};

use crate::child::{Ended, behind, errno, errno_of, whole_wall};

#[test]
fn without_a_port_there_are_no_sockets() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("address");
    let result = behind(WallSpec::default(), || {
        // A socket that was open before connects nowhere either.
        (
            errno_of(TcpStream::connect(address)),
            errno_of(TcpListener::bind("127.0.0.1:0")),
            errno_of(listener.accept()),
        )
    });
    assert_eq!(result, Ended::Said((EPERM, EPERM, EPERM)));
}

#[test]
fn with_a_port_tcp_to_that_port_only() {
    if !whole_wall() {
        return;
    }
    let [granted, other] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("bind"));
    let [granted_at, other_at] =
        [&granted, &other].map(|listener| listener.local_addr().expect("address"));
    let spec = WallSpec {
        sockets: Sockets {
            connect: Ports::Listed(vec![granted_at.port()]),
            ..Sockets::default()
        },
        ..WallSpec::default()
    };
    let result = behind(spec, || {
        let socket = |domain, kind, protocol| {
            // SAFETY: socket takes numbers only.
            errno(unsafe { libc::socket(domain, kind, protocol) }.into())
        };
        vec![
            errno_of(TcpStream::connect(granted_at)),
            errno_of(TcpStream::connect(other_at)),
            errno_of(TcpListener::bind("127.0.0.1:0")),
            socket(libc::AF_INET, libc::SOCK_DGRAM, 0),
            socket(libc::AF_INET, libc::SOCK_RAW, 0),
            socket(libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_MPTCP),
            socket(libc::AF_UNIX, libc::SOCK_STREAM, 0),
            socket(libc::AF_VSOCK, libc::SOCK_STREAM, 0),
            socket(
                libc::AF_INET6,
                libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC,
                libc::IPPROTO_TCP,
            ),
        ]
    });
    assert_eq!(
        result,
        Ended::Said(vec![
            0, EACCES, EACCES, EPERM, EPERM, EPERM, EPERM, EPERM, 0
        ])
    );
}

#[test]
fn a_granted_port_can_be_listened_on() {
    if !whole_wall() {
        return;
    }
    let [granted, other] = [(); 2].map(|()| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        listener.local_addr().expect("address").port()
    });
    let spec = WallSpec {
        sockets: Sockets {
            bind: Ports::Listed(vec![granted]),
            ..Sockets::default()
        },
        ..WallSpec::default()
    };
    let result = behind(spec, || {
        let listened =
            |port: u16| -> io::Result<()> { TcpListener::bind(("127.0.0.1", port)).map(drop) };
        (
            errno_of(listened(granted)),
            errno_of(listened(other)),
            errno_of(TcpStream::connect(("127.0.0.1", granted))),
        )
    });
    assert_eq!(result, Ended::Said((0, EACCES, EACCES)));
}

#[test]
fn open_ports_are_used_and_no_socket_is_made() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("address");
    let client = TcpStream::connect(address).expect("connect");
    let spec = WallSpec {
        sockets: Sockets {
            open: true,
            ..Sockets::default()
        },
        ..WallSpec::default()
    };
    let result = behind(spec, || {
        let accepted = listener.accept().map(drop);
        (
            errno_of(accepted),
            errno_of(TcpStream::connect(address)),
            errno_of(TcpListener::bind("127.0.0.1:0")),
            errno_of(UdpSocket::bind("127.0.0.1:0")),
        )
    });
    assert_eq!(result, Ended::Said((0, EPERM, EPERM, EPERM)));
    drop(client);
}

#[test]
fn datagrams_do_not_open_connections() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("address");
    let spec = WallSpec {
        sockets: Sockets {
            datagrams: true,
            ..Sockets::default()
        },
        ..WallSpec::default()
    };
    let result = behind(spec, || {
        let sent = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.send_to(b"x", address));
        (errno_of(sent), errno_of(TcpStream::connect(address)))
    });
    assert_eq!(result, Ended::Said((0, EPERM)));
}
