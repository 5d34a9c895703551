//! Written and read back.

use std::io::Write;
use std::path::Path;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicU32};

use super::*;

fn all(dir: &Path, wanted: Wanted) -> Vec<Entry> {
    let mut found = Vec::new();
    LogReader::new(dir)
        .read(&wanted, None, &mut |entry| {
            found.push(entry.clone());
            Ok(())
        })
        .expect("the log");
    found
}

fn text(entries: &[Entry]) -> Vec<u8> {
    entries
        .iter()
        .flat_map(|entry| entry.bytes.clone())
        .collect()
}

#[test]
fn every_byte_comes_back() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let log = LogWriter::open(&dir.path().join("log"), LogConfig::default()).expect("open");
    let long = vec![b'x'; 40_000];
    let bytes: Vec<u8> = (0..=255).collect();
    log.write(Stream::Stdout, b"one\ntwo").expect("write");
    log.write(Stream::Stderr, &bytes).expect("write");
    log.write(Stream::Stdout, "hal\u{e9}".as_bytes().split_at(4).0)
        .expect("write");
    log.write(Stream::Stdout, b"\xa9\n").expect("write");
    log.write(Stream::Stdout, &long).expect("write");
    let entries = all(&dir.path().join("log"), Wanted::default());
    let of = |stream| {
        let of: Vec<Entry> = entries
            .iter()
            .filter(|entry| entry.stream == stream)
            .cloned()
            .collect();
        text(&of)
    };
    let want = [&b"one\ntwohal\xc3\xa9\n"[..], &long].concat();
    assert!(of(Stream::Stdout) == want);
    assert!(of(Stream::Stderr) == bytes);
}

#[test]
fn it_is_what_dockers_driver_writes() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let log = LogWriter::open(dir.path(), LogConfig::default()).expect("open");
    log.write(Stream::Stderr, b"a \"b\"\n").expect("write");
    let line = std::fs::read(dir.path().join("json.log")).expect("the file");
    let value: serde_json::Value = serde_json::from_slice(&line).expect("JSON");
    assert_eq!(value["log"], "a \"b\"\n");
    assert_eq!(value["stream"], "stderr");
    assert!(
        value["time"]
            .as_str()
            .is_some_and(|time| time.ends_with('Z'))
    );
    assert_eq!(value.as_object().map(serde_json::Map::len), Some(3));
}

#[test]
fn a_full_file_makes_room_for_the_next() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for files in [1, 3] {
        let dir = dir.path().join(files.to_string());
        let config = LogConfig {
            max_size: 1000,
            max_files: files,
        };
        let log = LogWriter::open(&dir, config).expect("open");
        for line in 0..500 {
            log.write(Stream::Stdout, format!("{line}\n").as_bytes())
                .expect("write");
        }
        let count = std::fs::read_dir(&dir).expect("the folder").count();
        assert_eq!(count, files as usize);
        for entry in std::fs::read_dir(&dir).expect("the folder") {
            let size = entry.expect("an entry").metadata().expect("its size").len();
            assert!(size <= 1000, "{size}");
        }
        let lines = String::from_utf8(text(&all(&dir, Wanted::default()))).expect("text");
        let lines: Vec<u32> = lines
            .lines()
            .map(|line| line.parse().expect("a number"))
            .collect();
        assert_eq!(lines.last(), Some(&499));
        assert!(lines.windows(2).all(|pair| pair[1] == pair[0] + 1));
        let tail = all(
            &dir,
            Wanted {
                tail: Some(3),
                ..Wanted::default()
            },
        );
        assert_eq!(text(&tail), b"497\n498\n499\n");
    }
}

#[test]
fn part_of_it_can_be_asked_for() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut file = std::fs::File::create(dir.path().join("json.log")).expect("create");
    for second in 0..5 {
        writeln!(
            file,
            r#"{{"log":"{second}\n","stream":"stdout","time":"2026-01-01T00:00:0{second}Z"}}"#
        )
        .expect("write");
    }
    // Torn by a power cut.
    file.write_all(br#"{"log":"tor"#).expect("write");
    let time = |second: u8| {
        format!("2026-01-01T00:00:0{second}Z")
            .parse()
            .expect("a time")
    };
    let of = |tail, since: Option<u8>, until: Option<u8>| {
        let wanted = Wanted {
            tail,
            since: since.map(time),
            until: until.map(time),
        };
        String::from_utf8(text(&all(dir.path(), wanted))).expect("text")
    };
    assert_eq!(of(None, None, None), "0\n1\n2\n3\n4\n");
    assert_eq!(of(Some(2), None, None), "3\n4\n");
    assert_eq!(of(Some(0), None, None), "");
    assert_eq!(of(None, Some(2), Some(4)), "2\n3\n");
    assert_eq!(of(Some(1), Some(1), Some(3)), "2\n");
}

#[test]
fn nothing_is_lost_while_files_are_changed() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let config = LogConfig {
        max_size: 2000,
        max_files: 4,
    };
    const LINES: u32 = 2000;
    let done = AtomicBool::new(false);
    let read = AtomicU32::new(0);
    let mut seen = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let log = LogWriter::open(dir.path(), config).expect("open");
            for line in 0..LINES {
                log.write(Stream::Stdout, format!("{line}\n").as_bytes())
                    .expect("write");
                // Two files ahead of the reader, but not so far that what it has not read is removed.
                while line > read.load(SeqCst) + 50 {
                    std::thread::yield_now();
                }
            }
            done.store(true, SeqCst);
        });
        let mut more = || !done.load(SeqCst);
        LogReader::new(dir.path())
            .read(&Wanted::default(), Some(&mut more), &mut |entry| {
                seen.extend_from_slice(&entry.bytes);
                read.fetch_add(1, SeqCst);
                Ok(())
            })
            .expect("the log");
    });
    let want: String = (0..LINES).map(|line| format!("{line}\n")).collect();
    assert_eq!(String::from_utf8(seen).expect("text"), want);
}

#[test]
fn a_line_is_a_line_of_its_own_stream() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let log = LogWriter::open(dir.path(), LogConfig::default()).expect("open");
    log.write(Stream::Stdout, b"prompt> ").expect("write");
    log.write(Stream::Stderr, b"a warning\n").expect("write");
    let tail = all(
        dir.path(),
        Wanted {
            tail: Some(1),
            ..Wanted::default()
        },
    );
    assert_eq!(text(&tail), b"a warning\n");
}

#[test]
fn a_hole_between_files_hides_nothing() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for age in [1, 2] {
        let log = LogWriter::open(dir.path(), LogConfig::default()).expect("open");
        log.write(Stream::Stdout, format!("{age}\n").as_bytes())
            .expect("write");
        std::fs::rename(dir.path().join("json.log"), file(dir.path(), age)).expect("rename");
    }
    // As while files become one older.
    assert_eq!(text(&all(dir.path(), Wanted::default())), b"2\n1\n");
}
