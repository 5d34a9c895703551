//! Real registries with passwords, TLS and tokens, and the other tools that use them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;

use crate::fixtures::only;
use crate::layout;
use crate::registry::Registry;
use crate::world::{Output, Running, World, wait_until};

const PASSWORD: &str = "hunter2: one";

fn login(world: &World, registry: &Registry, password: &str, more: &[&str]) -> Output {
    let host = registry.host();
    let mut arguments = vec!["-D", "login", "-u", "alice", "--password-stdin"];
    arguments.extend(more);
    arguments.push(&host);
    let output = world.run_with(&arguments, format!("{password}\n").as_bytes());
    let all = format!("{}{}", output.text(), output.errors());
    assert!(!all.contains(password), "the password is shown: {all}");
    output
}

fn config(world: &World) -> PathBuf {
    world.path("../docker/config.json")
}

/// Builds a guest's image under a name in the registry.
fn built(world: &World, registry: &Registry) -> String {
    let name = registry.image("team/exit7:1");
    world.build(&name, &only("exit7"), &["exit7"], &[]);
    name
}

#[test]
fn who_is_logged_in_may_and_who_is_logged_out_may_not() {
    let registry = Registry::with_password("alice", PASSWORD);
    let world = World::new();
    let name = built(&world, &registry);

    let output = login(&world, &registry, "wrong", &[]).expect_code(125, &["login"]);
    assert!(
        output.errors().contains("refused the user or password"),
        "{}",
        output.errors()
    );
    assert!(!config(&world).exists(), "what is wrong is not kept");
    world.refused(&["push", &name]);

    let output = login(&world, &registry, PASSWORD, &[]).expect_code(0, &["login"]);
    assert_eq!(output.text(), "Login Succeeded\n");
    assert!(
        output.errors().contains("unencrypted"),
        "{}",
        output.errors()
    );
    let output = world.run(&["-D", "push", &name]).expect_code(0, &["push"]);
    let kept = layout::read_json(&config(&world));
    let encoded = layout::text(&kept["auths"][&registry.host()]["auth"]);
    assert!(
        !output.errors().contains("hunter2") && !output.errors().contains(encoded),
        "{}",
        output.errors()
    );

    // The other tools find it, and we find what they keep.
    let remote = format!("docker://{name}");
    let file = config(&world).display().to_string();
    world.tool_ok(
        "skopeo",
        &[
            "inspect",
            "--raw",
            "--tls-verify=false",
            "--authfile",
            &file,
            &remote,
        ],
    );
    let other = World::new();
    let theirs = other.path("auth.json").display().to_string();
    let host = registry.host();
    other.tool_ok(
        "skopeo",
        &[
            "login",
            "--tls-verify=false",
            "--authfile",
            &theirs,
            "-u",
            "alice",
            "-p",
            PASSWORD,
            &host,
        ],
    );
    let mut pull = other.command(&["pull", "-q", &name]);
    pull.env("REGISTRY_AUTH_FILE", &theirs);
    crate::world::finish(pull, b"").expect_code(0, &["pull"]);

    world.ok(&["logout", &host]);
    world.refused(&["push", &name]);
    let again = world.run(&["logout", &host]).expect_code(0, &["logout"]);
    assert!(
        again.errors().contains("Not logged in"),
        "{}",
        again.errors()
    );
}

#[test]
fn a_password_is_never_an_argument() {
    let world = World::new();
    for flags in [
        &["-p", "hunter2"][..],
        &["--password", "hunter2"],
        &["--password=hunter2"],
    ] {
        let mut arguments = vec!["login", "-u", "alice"];
        arguments.extend(flags);
        arguments.push("127.0.0.1:1");
        let message = world.refused(&arguments);
        assert!(
            message.contains("--password-stdin") && !message.contains("hunter2"),
            "{message}"
        );
    }
    let message = world.refused(&["login", "-u", "alice", "127.0.0.1:1"]);
    assert!(message.contains("no terminal"), "{message}");
    assert!(!config(&world).exists());
}

#[test]
fn a_helper_keeps_the_credential() {
    let registry = Registry::with_password("alice", PASSWORD);
    let world = World::new();
    let name = built(&world, &registry);
    // It keeps what it is given in a file beside it, as no real one would.
    let script = world.write(
        "bin/docker-credential-drawer",
        "#!/bin/sh\ncd \"$(dirname \"$0\")\"\ncase $1 in\nstore) cat > kept ;;\nerase) rm kept ;;\n\
         get) cat kept 2>/dev/null || { echo credentials not found in native keychain; exit 1; } ;;\nesac\n",
    );
    world.tool_ok("chmod", &["+x", script.to_str().expect("UTF-8")]);
    fs::write(
        config(&world),
        r#"{"credsStore": "drawer", "HttpHeaders": {"X": "y"}}"#,
    )
    .expect("Docker's config.json");
    let path = format!("{}:/usr/bin:/bin", world.path("bin").display());
    let run = |arguments: &[&str], stdin: &str| {
        let mut command = world.command(arguments);
        command.env("PATH", &path).stdin(Stdio::piped());
        crate::world::finish(command, stdin.as_bytes())
    };
    let host = registry.host();
    let output = run(
        &["login", "-u", "alice", "--password-stdin", &host],
        PASSWORD,
    )
    .expect_code(0, &["login"]);
    assert!(
        !output.errors().contains("unencrypted"),
        "{}",
        output.errors()
    );
    let text = fs::read_to_string(config(&world)).expect("Docker's config.json");
    assert!(
        text.contains("HttpHeaders") && text.contains(&host) && !text.contains("\"auth\""),
        "{text}"
    );
    run(&["push", "-q", &name], "").expect_code(0, &["push"]);
    run(&["logout", &host], "").expect_code(0, &["logout"]);
    assert!(!world.path("bin/kept").exists());
    run(&["push", "-q", &name], "").expect_code(125, &["push"]);
}

/// A certificate for 127.0.0.1 that an authority of its own has signed: `ca.crt`, `server.crt`, `server.key`.
fn certificates(world: &World, folder: &Path) {
    let path = |name: &str| folder.join(name).display().to_string();
    world.write("san", "subjectAltName=IP:127.0.0.1\n");
    let san = world.path("san").display().to_string();
    world.tool_ok(
        "openssl",
        &[
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=test authority",
            "-keyout",
            &path("ca.key"),
            "-out",
            &path("ca.crt"),
        ],
    );
    world.tool_ok(
        "openssl",
        &[
            "req",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-subj",
            "/CN=127.0.0.1",
            "-keyout",
            &path("server.key"),
            "-out",
            &path("server.csr"),
        ],
    );
    world.tool_ok(
        "openssl",
        &[
            "x509",
            "-req",
            "-days",
            "2",
            "-in",
            &path("server.csr"),
            "-CA",
            &path("ca.crt"),
            "-CAkey",
            &path("ca.key"),
            "-CAcreateserial",
            "-extfile",
            &san,
            "-out",
            &path("server.crt"),
        ],
    );
}

#[test]
fn a_certificate_is_believed_only_if_its_authority_is() {
    let keys = TempDir::new().expect("a temporary folder");
    let world = World::new();
    certificates(&world, keys.path());
    let registry = Registry::with_tls(
        &keys.path().join("server.crt"),
        &keys.path().join("server.key"),
    );
    let name = built(&world, &registry);

    let message = world.refused(&["push", &name]);
    assert!(
        message.contains("certificate") && message.contains("certs.d"),
        "{message}"
    );
    world.ok(&["push", "-q", "--tls-verify=false", &name]);

    let trusted = world.path(&format!(
        "../home/.config/docker/certs.d/{}",
        registry.host()
    ));
    fs::create_dir_all(&trusted).expect("a folder");
    fs::copy(keys.path().join("ca.crt"), trusted.join("ca.crt"))
        .expect("the authority's certificate");
    world.ok(&["push", "-q", &name]);
    world.ok(&["pull", "-q", &name]);
    // The same files serve the other tools.
    let copy = format!("oci:{}:app", world.path("copy").display());
    let certs = trusted.display().to_string();
    world.tool_ok(
        "skopeo",
        &[
            "copy",
            "--all",
            "--src-cert-dir",
            &certs,
            &format!("docker://{name}"),
            &copy,
        ],
    );
    layout::assert_tidy(&world.path("copy"));
}

#[test]
fn a_token_server_is_asked_for_tokens() {
    let keys = TempDir::new().expect("a temporary folder");
    let world = World::new();
    certificates(&world, keys.path());
    let (port_file, log) = (keys.path().join("port"), keys.path().join("log"));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/token_server.py");
    let text = |path: &Path| path.display().to_string();
    let mut command = world.tool(
        "python3",
        &[
            &text(&script),
            &text(&port_file),
            &text(&keys.path().join("server.key")),
            &text(&keys.path().join("server.crt")),
            "test issuer",
            "test service",
            "alice",
            PASSWORD,
        ],
    );
    command
        .stdin(Stdio::null())
        .stdout(File::create(&log).expect("a log"))
        .stderr(File::create(keys.path().join("errors")).expect("a log"));
    let _server = Running::start(&mut command);
    wait_until("the token server has a port", || port_file.exists());
    let port = fs::read_to_string(&port_file).expect("a port");
    let realm = format!("http://127.0.0.1:{port}/token");
    let registry = Registry::with_tokens(
        &realm,
        "test issuer",
        "test service",
        &keys.path().join("ca.crt"),
    );
    let asked = || fs::read_to_string(&log).expect("a log");
    let name = built(&world, &registry);

    let message = world.refused(&["push", &name]);
    assert!(message.contains("coracle login"), "{message}");
    let output = login(&world, &registry, "wrong", &[]).expect_code(125, &["login"]);
    assert!(
        output.errors().contains("incorrect username or password"),
        "{}",
        output.errors()
    );

    login(&world, &registry, PASSWORD, &[]).expect_code(0, &["login"]);
    let kept = fs::read_to_string(config(&world)).expect("Docker's config.json");
    assert!(
        kept.contains("identitytoken") && kept.contains("identity-of-"),
        "{kept}"
    );
    let output = world.run(&["-D", "push", &name]).expect_code(0, &["push"]);
    assert!(
        !output.errors().contains("identity-of-") && !output.errors().contains("Bearer"),
        "{}",
        output.errors()
    );
    assert!(
        asked().contains("POST alice repository:team/exit7:pull,push\n"),
        "{}",
        asked()
    );

    // A new image on the same layer: the registry is asked to take it from its other repository.
    let other = registry.image("other/exit7:1");
    world.ok(&["tag", &name, &other]);
    world.ok(&["push", "-q", &other]);
    assert!(
        asked().contains("repository:other/exit7:pull,push repository:team/exit7:pull\n"),
        "{}",
        asked()
    );
    assert!(
        registry.log().contains("mount=sha256"),
        "{}",
        registry.log()
    );

    // Anyone may pull, also with a password that is no longer right.
    let stranger = World::new();
    stranger.ok(&["pull", "-q", &name]);
    stranger
        .run(&["run", "--rm", &name])
        .expect_code(7, &["run"]);
    stranger.log_in(&registry.host(), "alice", "old password");
    stranger.ok(&["pull", "-q", &other]);
}

/// Storage of its own for a tool that runs containers.
fn storage(world: &World, more: &[&str]) -> Vec<String> {
    let place = |name: &str| world.path(name).display().to_string();
    let mut arguments: Vec<String> = [
        "--root",
        &place("root"),
        "--runroot",
        &place("runroot"),
        "--storage-driver",
        "vfs",
    ]
    .map(str::to_owned)
    .to_vec();
    arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
    arguments
}

#[test]
fn podman_and_buildah_pull_what_we_push_and_push_what_we_pull() {
    let registry = Registry::open();
    let world = World::new();
    let name = built(&world, &registry);
    world.ok(&["push", "-q", &name]);
    for tool in ["podman", "buildah"] {
        let theirs = World::new();
        // Podman wants the file that DOCKER_CONFIG names to be there.
        fs::write(config(&theirs), "{}").expect("Docker's config.json");
        let again = registry.image(&format!("{tool}/exit7:2"));
        theirs.tool_ok(
            tool,
            &storage(
                &theirs,
                &[
                    "pull",
                    "--tls-verify=false",
                    "--os",
                    "wasi",
                    "--arch",
                    "wasm",
                    &name,
                ],
            ),
        );
        theirs.tool_ok(tool, &storage(&theirs, &["tag", &name, &again]));
        theirs.tool_ok(
            tool,
            &storage(&theirs, &["push", "--tls-verify=false", &again]),
        );
        let receiver = World::new();
        receiver.ok(&["pull", "-q", &again]);
        receiver
            .run(&["run", "--rm", &again])
            .expect_code(7, &["run"]);
        assert_eq!(
            receiver.json(&["inspect", &again])[0]["Architecture"],
            "wasm"
        );
    }
}

#[test]
fn a_mirror_is_asked_first_and_the_registry_if_it_fails() {
    let (mirror, registry) = (Registry::open(), Registry::open());
    let world = World::new();
    let name = built(&world, &registry);
    world.ok(&["push", "-q", &name]);
    let conf = world.write(
        "registries.conf",
        format!(
            "[[registry]]\nlocation = \"{}\"\n[[registry.mirror]]\nlocation = \"{}/copy\"\n",
            registry.host(),
            mirror.host()
        ),
    );
    let pull = || {
        let receiver = World::new();
        let mut command = receiver.command(&["pull", "-q", &name]);
        command.env("CONTAINERS_REGISTRIES_CONF", &conf);
        crate::world::finish(command, b"").expect_code(0, &["pull"]);
        receiver
            .run(&["run", "--rm", &name])
            .expect_code(7, &["run"]);
    };
    let requests = |registry: &Registry| registry.log().matches("/v2/team/exit7/").count();
    pull();
    assert!(
        mirror.log().contains("/v2/copy/team/exit7/"),
        "{}",
        mirror.log()
    );
    let before = requests(&registry);
    let at_mirror = mirror.image("copy/team/exit7:1");
    world.ok(&["tag", &name, &at_mirror]);
    world.ok(&["push", "-q", &at_mirror]);
    pull();
    assert_eq!(requests(&registry), before, "the mirror has all of it");
    fs::write(
        &conf,
        format!(
            "[[registry]]\nlocation = \"{}\"\nblocked = true\n",
            registry.host()
        ),
    )
    .expect("a file");
    let mut command = world.command(&["pull", &name]);
    command.env("CONTAINERS_REGISTRIES_CONF", &conf);
    let output = crate::world::finish(command, b"").expect_code(125, &["pull"]);
    assert!(output.errors().contains("blocked"), "{}", output.errors());
}
