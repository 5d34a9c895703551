//! A TCP proxy that lets a number of bytes through from the server and then stalls, or hangs up.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use crate::world::{PATIENCE, wait_until};

/// What happens when the bytes are used up.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Then {
    /// The connection stays open, and silent, until [`StallingProxy::release`].
    Stall,
    /// The connection is closed.
    HangUp,
}

/// Stands before a server on the loopback interface.
pub(crate) struct StallingProxy {
    port: u16,
    gate: Arc<Gate>,
}

struct Gate {
    then: Then,
    budget: Mutex<Budget>,
    released: Condvar,
}

struct Budget {
    left: usize,
    used_up: bool,
    released: bool,
}

impl StallingProxy {
    /// Forwards to `server` on the loopback interface; all connections together may bring `bytes` back.
    pub(crate) fn new(server: u16, bytes: usize, then: Then) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("the listener's port").port();
        let gate = Arc::new(Gate {
            then,
            budget: Mutex::new(Budget {
                left: bytes,
                used_up: false,
                released: false,
            }),
            released: Condvar::new(),
        });
        let shared = Arc::clone(&gate);
        thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.expect("a connection");
                let server = TcpStream::connect(("127.0.0.1", server)).expect("the server answers");
                forward(client, server, &shared);
            }
        });
        Self { port, gate }
    }

    /// The reference of an image that is fetched through this proxy.
    pub(crate) fn image(&self, name: &str) -> String {
        format!("127.0.0.1:{}/{name}", self.port)
    }

    /// Waits until the bytes are used up.
    pub(crate) fn wait_until_used_up(&self) {
        wait_until("the proxy has let its bytes through", || {
            self.gate.budget.lock().expect("the budget").used_up
        });
    }

    /// From now on everything goes through.
    pub(crate) fn release(&self) {
        self.gate.budget.lock().expect("the budget").released = true;
        self.gate.released.notify_all();
    }
}

fn forward(client: TcpStream, server: TcpStream, gate: &Arc<Gate>) {
    let (mut client_in, mut server_out) = (
        client.try_clone().expect("a second handle"),
        server.try_clone().expect("a second handle"),
    );
    thread::spawn(move || {
        let _ended = std::io::copy(&mut client_in, &mut server_out);
        let _closed = server_out.shutdown(Shutdown::Write);
    });
    let gate = Arc::clone(gate);
    thread::spawn(move || {
        let (mut client, mut server) = (client, server);
        let mut buffer = [0; 4096];
        while let Ok(got @ 1..) = server.read(&mut buffer) {
            let allowed = gate.pass(got);
            if client.write_all(&buffer[..allowed]).is_err() || allowed < got {
                break;
            }
        }
        let _closed = client.shutdown(Shutdown::Both);
        let _closed = server.shutdown(Shutdown::Both);
    });
}

impl Gate {
    /// How many of `wanted` bytes may pass; waits while it stalls.
    fn pass(&self, wanted: usize) -> usize {
        let mut budget = self.budget.lock().expect("the budget");
        if budget.released {
            return wanted;
        }
        if budget.left >= wanted {
            budget.left -= wanted;
            return wanted;
        }
        budget.used_up = true;
        if self.then == Then::HangUp {
            return std::mem::take(&mut budget.left);
        }
        let (_budget, _timeout) = self
            .released
            .wait_timeout_while(budget, PATIENCE, |budget| !budget.released)
            .expect("the budget");
        wanted
    }
}
