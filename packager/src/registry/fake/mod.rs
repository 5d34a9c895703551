//! A registry in memory, on a free port of the loopback interface, with faults on demand. For tests.
//!
//! It speaks as much of the distribution specification as a pull and a push need, one request per connection. What it is
//! told to do wrong, it does to the requests that match, as often as it was told.

use std::collections::BTreeMap;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::digest::Digest;

mod answers;
mod kind;
mod wire;

pub use kind::Kind;

/// Who may do what.
#[derive(Clone, Debug, Default)]
pub enum Access {
    /// Anyone may do anything.
    #[default]
    Open,
    /// One user, by HTTP Basic.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// A token for everyone, or for one user.
    Bearer {
        /// User and password; without one, anyone gets a token.
        user: Option<(String, String)>,
        /// How many requests a token is good for.
        uses: usize,
    },
}

/// What to do wrong.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Announce the whole body, send so many bytes of it, hang up.
    Cut(usize),
    /// Read the request, and hang up.
    HangUp,
    /// Send this body instead, with status 200.
    Body(Vec<u8>),
    /// Send bytes without end, without announcing a length.
    Endless,
    /// Answer with this status and body.
    Status(u16, &'static str),
    /// Answer with this status, and send bytes without end.
    EndlessStatus(u16),
    /// Send headers without end.
    EndlessHead,
    /// Answer with this status, and ask to be left alone for so many seconds.
    Later(u16, u64),
    /// Send this body, with this header `Link`.
    Linked(Vec<u8>, String),
    /// Refuse with this challenge.
    Challenge(String),
    /// Announce the whole body, send so many bytes of it, and no more for a while.
    Stall(usize),
    /// Send the client to the same path of another server, by 307.
    Redirect(String),
    /// Do not honour `Range`.
    NoRange,
    /// Do it, but leave the `Location` header out.
    NoLocation,
}

/// A request that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Such as `GET`.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The header `Authorization`.
    pub authorization: Option<String>,
    /// The header `Range`.
    pub range: Option<String>,
}

/// The registry. Ends when dropped.
#[derive(Debug)]
pub struct FakeRegistry {
    address: SocketAddr,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct State {
    kind: Kind,
    access: Access,
    /// Repositories that are there from the beginning.
    repositories: Mutex<Vec<String>>,
    /// Where blobs are fetched from, if not here.
    storage: Mutex<Option<(String, Arc<State>)>>,
    content: Mutex<Content>,
    stop: AtomicBool,
}

#[derive(Debug, Default)]
struct Content {
    /// Repository and digest.
    blobs: BTreeMap<(String, String), Vec<u8>>,
    /// Repository and tag or digest; media type and bytes.
    manifests: BTreeMap<(String, String), (String, Vec<u8>)>,
    uploads: BTreeMap<String, Vec<u8>>,
    /// Tokens, how often each may still be used, and what for.
    tokens: BTreeMap<String, (usize, String)>,
    /// Method, part of the path, fault, how often.
    faults: Vec<(&'static str, String, Fault, usize)>,
    requests: Vec<Request>,
    /// Makes names of uploads and tokens.
    count: usize,
}

impl FakeRegistry {
    /// Starts a registry.
    ///
    /// # Panics
    ///
    /// There is no free port.
    pub fn start(access: Access) -> Self {
        Self::start_as(Kind::Plain, access)
    }

    /// Starts a registry that behaves as a known one.
    ///
    /// # Panics
    ///
    /// There is no free port.
    pub fn start_as(kind: Kind, access: Access) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let address = listener
            .local_addr()
            .expect("the address of a bound socket");
        let state = Arc::new(State {
            kind,
            access,
            ..State::default()
        });
        let shared = Arc::clone(&state);
        let thread = std::thread::spawn(move || {
            for connection in listener.incoming() {
                if shared.stop.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(connection) = connection else { continue };
                let state = Arc::clone(&shared);
                // Ends with its connection, which the client or this registry closes.
                let _detached = std::thread::spawn(move || {
                    // The client may hang up at any time: tests make it.
                    let _hung_up = wire::serve(&state, address, &connection);
                    let _closed = connection.shutdown(Shutdown::Both);
                });
            }
        });
        Self {
            address,
            state,
            thread: Some(thread),
        }
    }

    /// Returns the registry's name in references.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Makes an empty repository, for kinds that want that.
    pub fn create_repository(&self, name: &str) {
        let mut repositories = self
            .state
            .repositories
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        repositories.push(name.to_owned());
    }

    /// Sends those who fetch blobs to another one, which gets all blobs that come from now on.
    pub fn keep_blobs_at(&self, storage: &Self) {
        let mut place = self
            .state
            .storage
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *place = Some((storage.host(), Arc::clone(&storage.state)));
    }

    /// Loses a blob.
    pub fn forget_blob(&self, repository: &str, digest: &Digest) {
        let key = (repository.to_owned(), digest.to_string());
        self.state.content().blobs.remove(&key);
    }

    /// Puts a blob into a repository.
    pub fn put_blob(&self, repository: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::sha256_of(bytes);
        let key = (repository.to_owned(), digest.to_string());
        self.state.content().blobs.insert(key, bytes.to_vec());
        digest
    }

    /// Puts a manifest or index into a repository, under a tag and its digest.
    pub fn put_manifest(
        &self,
        repository: &str,
        tag: &str,
        media_type: &str,
        bytes: &[u8],
    ) -> Digest {
        let digest = Digest::sha256_of(bytes);
        for name in [tag.to_owned(), digest.to_string()] {
            let value = (media_type.to_owned(), bytes.to_vec());
            self.state
                .content()
                .manifests
                .insert((repository.to_owned(), name), value);
        }
        digest
    }

    /// Returns a blob.
    pub fn blob(&self, repository: &str, digest: &Digest) -> Option<Vec<u8>> {
        self.state
            .content()
            .blobs
            .get(&(repository.to_owned(), digest.to_string()))
            .cloned()
    }

    /// Returns a manifest or index, with its media type, by tag or digest.
    pub fn manifest(&self, repository: &str, name: &str) -> Option<(String, Vec<u8>)> {
        self.state
            .content()
            .manifests
            .get(&(repository.to_owned(), name.to_owned()))
            .cloned()
    }

    /// Does something wrong to the next `times` requests with this method whose path contains `part`.
    pub fn fault(&self, method: &'static str, part: &str, fault: Fault, times: usize) {
        self.state
            .content()
            .faults
            .push((method, part.to_owned(), fault, times));
    }

    /// Returns the requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.state.content().requests.clone()
    }
}

impl Drop for FakeRegistry {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _woken = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

impl State {
    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
