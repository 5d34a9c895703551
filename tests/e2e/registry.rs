//! Debian's `docker-registry` on a free loopback port, with a folder of its own.

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;

use crate::world::{Running, World, wait_until};

/// A registry that ends with the test.
pub(crate) struct Registry {
    _server: Running,
    port: u16,
    folder: TempDir,
}

impl Registry {
    /// Anyone may push and pull.
    pub(crate) fn open() -> Self {
        Self::start("", |_, _| String::new())
    }

    /// Only this user may.
    pub(crate) fn with_password(user: &str, password: &str) -> Self {
        Self::start("", |world, folder| {
            let file = folder.path().join("htpasswd");
            // -B: bcrypt, the only kind that this registry knows.
            let line = world.tool_ok("htpasswd", &["-B", "-b", "-n", user, password]);
            fs::write(&file, line).expect("the password file");
            format!("auth: {{htpasswd: {{realm: test, path: {file:?}}}}}\n")
        })
    }

    /// Anyone may push and pull, by HTTPS with this certificate and key.
    pub(crate) fn with_tls(certificate: &Path, key: &Path) -> Self {
        let tls = format!(", tls: {{certificate: {certificate:?}, key: {key:?}}}");
        Self::start(&tls, |_, _| String::new())
    }

    /// Who has a token of this server may do what it says. `authorities` is the certificate that signed the server's.
    pub(crate) fn with_tokens(
        realm: &str,
        issuer: &str,
        service: &str,
        authorities: &Path,
    ) -> Self {
        Self::start("", |_, _| {
            format!(
                "auth: {{token: {{realm: {realm:?}, issuer: {issuer:?}, service: {service:?}, rootcertbundle: {authorities:?}}}}}\n"
            )
        })
    }

    fn start(http: &str, settings: impl Fn(&World, &TempDir) -> String) -> Self {
        let world = World::new();
        // The free port that we found may be taken by another before the registry asks for it.
        for _attempt in 0..5 {
            let folder = TempDir::with_prefix("coracle-registry-").expect("a temporary folder");
            let port = free_port();
            let config = format!(
                "version: 0.1\n\
                 log: {{level: info}}\n\
                 storage: {{filesystem: {{rootdirectory: {:?}}}, delete: {{enabled: true}}}}\n\
                 http: {{addr: \"127.0.0.1:{port}\", secret: nothing{http}}}\n\
                 {}",
                folder.path().join("storage"),
                settings(&world, &folder),
            );
            let file = folder.path().join("config.yml");
            fs::write(&file, config).expect("the registry's configuration");
            let log = File::create(folder.path().join("log")).expect("the registry's log");
            let mut command = world.tool("docker-registry", &["serve".as_ref(), file.as_os_str()]);
            command
                .env("OTEL_TRACES_EXPORTER", "none")
                .stdout(log.try_clone().expect("a second handle of the log"))
                .stderr(log)
                .stdin(Stdio::null());
            let mut server = Running::start(&mut command);
            let mut ended = false;
            wait_until("the registry answers", || {
                ended = server.0.try_wait().expect("the registry's state").is_some();
                ended || TcpStream::connect(("127.0.0.1", port)).is_ok()
            });
            if !ended {
                return Self {
                    _server: server,
                    port,
                    folder,
                };
            }
        }
        panic!("the registry does not start");
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The registry's name in a reference.
    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The reference of an image in this registry.
    pub(crate) fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.host())
    }

    /// The file in which the registry keeps a blob.
    pub(crate) fn blob_file(&self, digest: &str) -> PathBuf {
        let hex = digest.strip_prefix("sha256:").expect("a sha256 digest");
        self.folder
            .path()
            .join("storage/docker/registry/v2/blobs/sha256")
            .join(&hex[..2])
            .join(hex)
            .join("data")
    }

    /// Everything that the registry has written about its requests.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).expect("the registry's log")
    }
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port()
}
