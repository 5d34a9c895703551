//! Containers on disk: what two processes, a crash and a name taken twice do to them. A lock counts between two open files
//! of one process as it does between two processes.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use coracle_runtime::container::{
    ContainerConfig, ContainerError, ContainerStore, Exit, Id, Owned, State,
};

fn config(name: &str, auto_remove: bool) -> ContainerConfig {
    let mut bytes = [0; 32];
    for (place, byte) in bytes.iter_mut().zip(name.bytes()) {
        *place = byte;
    }
    ContainerConfig {
        version: ContainerConfig::VERSION,
        id: Id::from_random(bytes),
        name: name.parse().expect("a name"),
        created: 1_700_000_000,
        auto_remove,
        image: "hello".to_owned(),
        manifest: "sha256:0".to_owned(),
        image_id: "sha256:0".to_owned(),
        args: vec!["/hello.wasm".to_owned()],
        invoke: None,
        env: Vec::new(),
        cwd: "/".to_owned(),
        mounts: Vec::new(),
        open_stdin: false,
        stdin_once: false,
        restart: coracle_runtime::container::RestartPolicy::No,
        health: None,
        read_only: false,
        storage_limit: None,
        policy: coracle_runtime::policy::Policy::default(),
        ports: Vec::new(),
        tty: false,
        log: coracle_runtime::logs::LogConfig::default(),
        stop_signal: None,
        stop_timeout: None,
        backend: Default::default(),
        labels: std::collections::BTreeMap::new(),
    }
}

fn create(store: &ContainerStore, name: &str, auto_remove: bool) -> Owned {
    store
        .create_owned(config(name, auto_remove))
        .expect("created")
}

fn entries(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    entries
        .map(|entry| {
            entry
                .expect("entry")
                .file_name()
                .into_string()
                .expect("UTF-8")
        })
        .collect()
}

fn make_old(path: &Path) {
    let old = SystemTime::now() - Duration::from_secs(3600);
    fs::File::open(path)
        .and_then(|file| file.set_modified(old))
        .expect("set the time");
}

#[test]
fn a_container_runs_and_then_has_ended() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let store = ContainerStore::new(root.path());
    assert!(
        store.list().expect("list").containers.is_empty(),
        "nothing there is no error"
    );
    let mut owned = create(&store, "web", false);
    owned
        .started(1_700_000_001, serde_json::json!({"all": "up"}))
        .expect("started");
    let found = store.find("web").expect("found");
    assert!(
        matches!(found.state().expect("state"), State::Running { pid, started: 1_700_000_001 } if pid == std::process::id())
    );
    assert_eq!(
        found.walls().expect("walls"),
        serde_json::json!({"all": "up"})
    );
    assert!(matches!(
        store.remove(&found, false),
        Err(ContainerError::Running { .. })
    ));
    owned.finish(&Exit::by_itself(7)).expect("finish");
    drop(owned);
    let State::Exited {
        exit,
        started,
        finished,
    } = found.state().expect("state")
    else {
        panic!("it has ended");
    };
    assert_eq!((exit, started), (Some(Exit::by_itself(7)), 1_700_000_001));
    assert!(finished.is_some());
    store.remove(&found, false).expect("removed");
    assert!(matches!(
        store.find("web"),
        Err(ContainerError::NotFound { .. })
    ));
    assert_eq!(entries(&root.path().join("containers")), [""; 0]);
    assert_eq!(entries(&root.path().join("names")), [""; 0]);
}

#[test]
fn a_killed_owner_leaves_an_ended_container_of_unknown_code() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let store = ContainerStore::new(root.path());
    drop(create(&store, "web", false));
    let state = store.find("web").expect("found").state().expect("state");
    assert!(
        matches!(
            state,
            State::Exited {
                exit: None,
                finished: None,
                ..
            }
        ),
        "{state:?}"
    );
}

#[test]
fn a_name_belongs_to_one_container() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let store = ContainerStore::new(root.path());
    let mut first = create(&store, "web", false);
    let mut second = config("other", false);
    second.name = "web".parse().expect("a name");
    let error = store
        .create_owned(second.clone())
        .expect_err("the name is taken");
    assert!(
        matches!(&error, ContainerError::NameInUse { id, .. } if *id == first.container.config.id),
        "{error}"
    );
    assert_eq!(
        entries(&root.path().join("containers")).len(),
        1,
        "nothing is left of the second"
    );
    first.finish(&Exit::by_itself(0)).expect("finish");
    drop(first);
    assert!(
        store.create_owned(second.clone()).is_err(),
        "an ended container keeps its name"
    );
    store
        .remove(&store.find("web").expect("found"), false)
        .expect("removed");
    store.create_owned(second).expect("the name is free again");
}

#[test]
fn an_ephemeral_container_is_gone_when_it_ends() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let store = ContainerStore::new(root.path());
    let mut owned = create(&store, "once", true);
    let upper = owned.container.upper_path();
    fs::write(upper.join("file"), "data").expect("write");
    fs::create_dir(upper.join("dir")).expect("create");
    fs::write(upper.join("dir/file"), "data").expect("write");
    assert_eq!(
        store.list().expect("list").containers.len(),
        1,
        "it is listed while it runs"
    );
    owned.finish(&Exit::by_itself(0)).expect("finish");
    drop(owned);
    assert!(store.list().expect("list").containers.is_empty());
    assert_eq!(entries(&upper), [""; 0], "its files are gone at once");
    let owned = create(&store, "once", true);
    let ephemeral = entries(&root.path().join("ephemeral"));
    assert_eq!(
        ephemeral,
        [owned.container.config.id.as_str()],
        "the next one swept its husk, and has its name"
    );
}

#[test]
fn a_killed_ephemeral_container_is_swept() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let store = ContainerStore::new(root.path());
    let killed = create(&store, "once", true);
    fs::write(killed.container.upper_path().join("file"), "data").expect("write");
    drop(killed);
    let other = create(&store, "next", true);
    assert_eq!(
        entries(&root.path().join("ephemeral")),
        [other.container.config.id.as_str()]
    );
    assert_eq!(entries(&root.path().join("names")), ["next"]);
}

#[test]
fn what_a_killed_create_left_does_not_last() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let store = ContainerStore::new(root.path());
    drop(create(&store, "first", true));
    // Killed between name and directory, and while making the directory, before and after it had its lock.
    let names = root.path().join("names");
    let staging = root.path().join("staging");
    let half = |byte: u8, name: &str| {
        let id = Id::from_random([byte; 32]);
        fs::write(names.join(name), id.as_str()).expect("write");
        staging.join(format!("{id}.new"))
    };
    half(7, "web");
    let bare = half(8, "bare");
    fs::create_dir(&bare).expect("create");
    let locked = half(9, "free");
    fs::create_dir(&locked).expect("create");
    fs::write(locked.join("state"), "").expect("write");
    fs::write(names.join("torn"), "").expect("write");
    for name in ["web", "bare", "torn"] {
        let error = store
            .create_owned(config(name, false))
            .expect_err("its creator may still be at work");
        assert!(matches!(error, ContainerError::NameInUse { .. }), "{error}");
    }
    assert!(!locked.exists(), "its maker's lock is gone");
    for left in [
        &names.join("web"),
        &names.join("bare"),
        &names.join("free"),
        &names.join("torn"),
        &bare,
    ] {
        make_old(left);
    }
    for name in ["web", "bare", "free", "torn"] {
        drop(create(&store, name, false));
    }
    assert_eq!(entries(&staging), [""; 0]);
}

#[test]
fn a_killed_remove_is_finished_by_the_next_command() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let store = ContainerStore::new(root.path());
    let killed = create(&store, "gone", false);
    let id = killed.container.config.id.as_str();
    let dead = root.path().join("staging").join(format!("{id}.dead"));
    fs::rename(root.path().join("containers").join(id), &dead).expect("rename");
    fs::write(dead.join("upper/file"), "data").expect("write");
    drop(killed);
    make_old(&root.path().join("names/gone"));
    drop(create(&store, "gone", false));
    assert!(!dead.exists());
}

#[test]
fn no_depth_of_directories_keeps_a_container_from_going() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let store = ContainerStore::new(root.path());
    let mut owned = create(&store, "deep", true);
    let mut dir = cap_std::fs::Dir::open_ambient_dir(
        owned.container.upper_path(),
        cap_std::ambient_authority(),
    )
    .expect("open");
    for depth in 0..5000 {
        dir.create_dir("d").expect("create");
        dir.write(format!(".moved-{depth}"), "in the way")
            .expect("write");
        dir = dir.open_dir("d").expect("open");
    }
    owned.finish(&Exit::by_itself(0)).expect("finish");
    assert_eq!(entries(&owned.container.upper_path()), [""; 0]);
}

#[test]
fn what_the_walled_process_writes_does_not_say_whom_to_kill() {
    use std::io::Write;
    let root = tempfile::tempdir().expect("a temporary directory");
    let store = ContainerStore::new(root.path());
    let owned = create(&store, "web", false);
    let mut state = owned.record.file();
    state
        .write_all(b"{\"pid\":1,\"started\":1,\"walls\":null}\n")
        .expect("write");
    let found = store.find("web").expect("found").state().expect("state");
    assert!(
        matches!(found, State::Running { pid, .. } if pid == std::process::id()),
        "{found:?}"
    );
}

#[test]
fn an_id_may_be_cut_short_while_it_is_plain() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let store = ContainerStore::new(root.path());
    let one = create(&store, "aa1", false);
    let _two = create(&store, "aa2", false);
    let id = one.container.config.id.as_str();
    assert_eq!(
        store.find(id).expect("whole").config.id,
        one.container.config.id
    );
    assert_eq!(
        store.find(&id[..6]).expect("six digits").config.id,
        one.container.config.id
    );
    assert!(matches!(
        store.find(&id[..4]),
        Err(ContainerError::Ambiguous { count: 2, .. })
    ));
    for nobody in ["", "zz", "../aa1"] {
        assert!(
            matches!(store.find(nobody), Err(ContainerError::NotFound { .. })),
            "{nobody:?}"
        );
    }
}

#[test]
fn a_damaged_config_is_named() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let store = ContainerStore::new(root.path());
    let owned = create(&store, "web", false);
    let path = root
        .path()
        .join("containers")
        .join(owned.container.config.id.as_str())
        .join("config.json");
    fs::write(&path, "{").expect("write");
    create(&store, "other", false);
    fs::write(root.path().join("containers/stray"), "").expect("write");
    let listing = store.list().expect("list");
    assert_eq!(listing.containers.len(), 1, "the others are still there");
    let [error] = &listing.damaged[..] else {
        panic!("{listing:?}");
    };
    assert!(error.to_string().contains("config.json"), "{error}");
    let mut newer = config("web", false);
    newer.version = 99;
    fs::write(&path, serde_json::to_vec(&newer).expect("serialise")).expect("write");
    let damaged = store.list().expect("list").damaged;
    assert!(matches!(
        damaged[..],
        [ContainerError::UnknownVersion {
            got: 99,
            want: 1,
            ..
        }]
    ));
    let id = owned.container.config.id.clone();
    assert!(!store.remove_damaged(&id).expect("it runs"));
    drop(owned);
    assert!(store.remove_damaged(&id).expect("removed"));
    assert!(store.list().expect("list").damaged.is_empty());
}

#[test]
fn what_was_created_waits_for_its_start() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let store = ContainerStore::new(root.path());
    for auto_remove in [false, true] {
        let container = store.create(config("later", auto_remove)).expect("created");
        assert_eq!(container.state().expect("a state"), State::Created);
        // Neither a list nor a start of another takes it for what an interrupted run left behind.
        assert_eq!(store.list().expect("a list").containers.len(), 1);
        drop(create(&store, "another", true));
        let container = store.find("later").expect("still there");
        let mut owned = store.own(container.clone()).expect("owned");
        assert!(matches!(
            store.own(container.clone()),
            Err(ContainerError::Running { .. })
        ));
        owned
            .started(1_700_000_001, serde_json::Value::Null)
            .expect("started");
        let exit = Exit::because(3, "for a test");
        owned.finish(&exit).expect("finished");
        drop(owned);
        if auto_remove {
            assert!(store.list().expect("a list").containers.is_empty());
            continue;
        }
        assert!(matches!(
            container.state().expect("a state"),
            State::Exited { exit: Some(said), .. } if said == exit
        ));
        // A second life says nothing of the first.
        let mut owned = store.own(container.clone()).expect("owned again");
        owned
            .started(1_700_000_002, serde_json::Value::Null)
            .expect("started");
        drop(owned);
        assert!(matches!(
            container.state().expect("a state"),
            State::Exited {
                exit: None,
                started: 1_700_000_002,
                ..
            }
        ));
        store.remove(&container, false).expect("removed");
    }
}

#[test]
fn an_owner_is_found_while_others_ask() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let store = ContainerStore::new(root.path());
    let container = store.create(config("asked", false)).expect("created");
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::SeqCst) {
                    container.state().expect("a state");
                }
            });
        }
        for _ in 0..200 {
            // Who only asks holds the lock for a moment, and must not look like an owner.
            drop(store.own(container.clone()).expect("owned"));
        }
        done.store(true, std::sync::atomic::Ordering::SeqCst);
    });
}

#[test]
fn a_new_name_frees_the_old_one() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let store = ContainerStore::new(root.path());
    let mut container = store.create(config("first", false)).expect("created");
    store.create(config("other", false)).expect("created");
    let taken = store.rename(&mut container, "other".parse().expect("a name"));
    assert!(matches!(taken, Err(ContainerError::NameInUse { .. })));
    store
        .rename(&mut container, "second".parse().expect("a name"))
        .expect("renamed");
    assert!(store.find("first").is_err());
    assert_eq!(
        store.find("second").expect("renamed").config.id,
        container.config.id
    );
    store.remove(&container, false).expect("removed");
    assert_eq!(entries(&root.path().join("names")), ["other"]);
}

/// The inode number of the folder that holds a container.
fn number(owned: &Owned) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let home = owned.container.upper_path();
    fs::metadata(home.parent().expect("inside the container"))
        .expect("it is there")
        .ino()
}

fn end(mut owned: Owned) {
    owned.started(1, serde_json::Value::Null).expect("started");
    owned.finish(&Exit::by_itself(9)).expect("finish");
}

#[test]
fn a_new_container_moves_into_what_an_ended_one_left() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let store = ContainerStore::new(root.path());
    let names = root.path().join("names");
    let first = create(&store, "first-with-a-longer-name", true);
    let husk = number(&first);
    end(first);
    for (name, auto_remove) in [("second", true), ("second", true), ("third", false)] {
        let owned = create(&store, name, auto_remove);
        assert_eq!(number(&owned), husk, "{name}");
        let found = store.find(name).expect("found");
        assert_eq!(found.config, config(name, auto_remove));
        assert!(matches!(
            found.state(),
            Ok(State::Running {
                started: 1_700_000_000,
                ..
            })
        ));
        assert_eq!(entries(&names), [name]);
        assert_eq!(entries(&root.path().join("staging")), [""; 0]);
        end(owned);
    }
    // The last one is kept, and tells only of itself.
    let found = store.find("third").expect("found");
    assert!(matches!(
        found.state(),
        Ok(State::Exited { exit: Some(exit), started: 1, .. }) if exit == Exit::by_itself(9)
    ));
    let next = create(&store, "next", true);
    assert_ne!(number(&next), husk);
}

#[test]
fn what_a_guest_has_touched_is_not_moved_into() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let store = ContainerStore::new(root.path());
    let touch: [fn(&Owned); 4] = [
        |owned| fs::write(owned.container.upper_path().join("left"), "").expect("a file"),
        |owned| fs::write(owned.container.work_path().join("left"), "").expect("a file"),
        |owned| make_old(&owned.container.upper_path()),
        |owned| {
            let home = owned.container.upper_path();
            fs::write(home.with_file_name("other"), "").expect("a file");
        },
    ];
    for touch in touch {
        let owned = create(&store, "first", true);
        let id = owned.container.config.id.clone();
        touch(&owned);
        end(owned);
        let owned = create(&store, "second", true);
        assert_eq!(entries(&owned.container.upper_path()), [""; 0]);
        assert_eq!(entries(&owned.container.work_path()), [""; 0]);
        let home = owned.container.upper_path();
        assert!(!home.with_file_name("other").exists());
        assert!(!root.path().join("ephemeral").join(id.as_str()).exists());
        assert_eq!(entries(&root.path().join("names")), ["second"]);
        end(owned);
        store.list().expect("it sweeps");
    }
}

#[test]
fn a_running_container_is_not_moved_into_and_keeps_its_name() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let store = ContainerStore::new(root.path());
    let running = create(&store, "running", true);
    end(create(&store, "ended", true));
    assert!(matches!(
        store.create_owned(config("running", true)),
        Err(ContainerError::NameInUse { .. })
    ));
    assert_eq!(entries(&root.path().join("staging")), [""; 0]);
    assert_eq!(entries(&root.path().join("names")), ["running"]);
    let other = create(&store, "other", true);
    assert_ne!(number(&other), number(&running));
    assert_eq!(store.list().expect("list").containers.len(), 2);
}

#[test]
fn many_are_created_and_removed_at_once() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let store = ContainerStore::new(root.path());
    std::thread::scope(|scope| {
        for worker in 0..8 {
            let store = store.clone();
            scope.spawn(move || {
                for round in 0..40 {
                    // Each of these clears away what others left, and must not take what others make for that.
                    let config = config(&format!("w{worker}r{round}"), round % 3 == 0);
                    let container = store.create(config).expect("created");
                    store.remove(&container, true).expect("removed");
                }
            });
        }
    });
    assert!(store.list().expect("a list").containers.is_empty());
    for folder in ["names", "staging", "containers"] {
        assert_eq!(entries(&root.path().join(folder)), [""; 0], "{folder}");
    }
}

#[test]
fn what_could_not_be_read_again_is_not_written() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let store = ContainerStore::new(root.path());
    let mut large = config("large", false);
    large.args.push("x".repeat(17 << 20));
    assert!(matches!(
        store.create(large),
        Err(ContainerError::LargeConfig { .. })
    ));
    // Nothing of it is left, its name neither.
    let container = store.create(config("large", false)).expect("created");
    let file = root
        .path()
        .join("containers")
        .join(container.config.id.as_str());
    let written = fs::metadata(file.join("config.json"))
        .expect("a config")
        .len();
    store.remove(&container, false).expect("removed");
    // A config that is as large as one may be, and would be larger with a longer name.
    let mut full = config("large", false);
    let room = (16 << 20) - written - r#""","#.len() as u64;
    full.args.push("x".repeat(room as usize));
    let mut container = store.create(full).expect("created");
    let renamed = store.rename(
        &mut container,
        "larger-than-before".parse().expect("a name"),
    );
    assert!(
        matches!(renamed, Err(ContainerError::LargeConfig { .. })),
        "{renamed:?}"
    );
    assert_eq!(entries(&root.path().join("names")), ["large"]);
}

#[test]
fn a_removed_container_is_nowhere_in_its_life() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let store = ContainerStore::new(root.path());
    let container = store.create(config("gone", false)).expect("created");
    store.remove(&container, false).expect("removed");
    assert!(matches!(
        container.state(),
        Err(ContainerError::NotFound { .. })
    ));
}

#[test]
fn a_name_that_somebody_else_has_by_now_is_not_freed() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let store = ContainerStore::new(root.path());
    let container = store.create(config("mine", false)).expect("create");
    let name = root.path().join("names/mine");
    let other = "cd".repeat(32);
    fs::write(&name, &other).expect("taken over");
    store.remove(&container, false).expect("remove");
    assert_eq!(fs::read_to_string(&name).expect("the name"), other);
    let staging = root.path().join("staging");
    assert_eq!(fs::read_dir(staging).expect("staging").count(), 0);
}

#[test]
fn a_name_without_a_container_is_freed_in_passing() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let store = ContainerStore::new(root.path());
    let container = store.create(config("passing", false)).expect("create");
    let names = root.path().join("names");
    for (name, old) in [("stale", true), ("fresh", false)] {
        fs::write(names.join(name), "ef".repeat(32)).expect("a name");
        if old {
            make_old(&names.join(name));
        }
    }
    store.remove(&container, false).expect("remove");
    let left: Vec<_> = fs::read_dir(&names)
        .expect("the names")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert_eq!(left, ["fresh"]);
}

#[test]
fn two_who_change_a_config_lose_nothing() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let store = ContainerStore::new(root.path());
    let mut one = store.create(config("shared", false)).expect("create");
    let mut two = store.find("shared").expect("found");
    store
        .rename(&mut one, "renamed".parse().expect("a name"))
        .expect("rename");
    let changed = two.change_config(|config| config.stop_timeout = Some(7));
    assert!(changed.expect("changed"));
    let found = store.find("renamed").expect("found");
    assert_eq!(found.config.stop_timeout, Some(7));
    assert_eq!(two.config.name.as_str(), "renamed");
    store.find("shared").expect_err("the old name is free");
}
