//! What a process that hosts a guest needs, and must keep.

use std::io::{Read, Write};
use std::ptr;
use std::sync::atomic::AtomicPtr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc;
use std::time::Duration;

use crate::child::{Ended, Ground, behind, whole_wall};
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use coracle_runtime::sandbox::wall::{WallError, WallSpec, raise};

#[test]
fn threads_work_and_are_behind_the_wall() {
    if !whole_wall() {
        return;
    }
    let result = behind(WallSpec::default(), || {
        let (to_main, from_threads) = mpsc::channel();
        let threads: Vec<_> = (0..4)
            .map(|number| {
                let to_main = to_main.clone();
                std::thread::Builder::new()
                    .name(format!("worker {number}"))
                    .spawn(move || {
                        std::thread::sleep(Duration::from_millis(1));
                        to_main
                            .send(std::fs::File::open("/etc/passwd").is_err())
                            .expect("send");
                    })
            })
            .collect();
        for thread in threads {
            thread.expect("make a thread").join().expect("join");
        }
        from_threads.try_iter().filter(|refused| *refused).count()
    });
    assert_eq!(result, Ended::Said(4));
}

#[test]
fn the_event_loop_and_its_blocking_threads_work() {
    let ground = Ground::new();
    let result = behind(ground.spec(), || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let slept =
                tokio::time::timeout(Duration::from_millis(5), std::future::pending::<()>())
                    .await
                    .is_err();
            let file = ground.lower.join("file");
            let read = tokio::task::spawn_blocking(move || std::fs::read(file).expect("read"))
                .await
                .expect("join");
            (slept, read)
        })
    });
    assert_eq!(result, Ended::Said((true, b"lower".to_vec())));
}

#[test]
fn capability_directories_work() {
    let ground = Ground::new();
    let upper = Dir::open_ambient_dir(&ground.upper, ambient_authority()).expect("open");
    let result = behind(ground.spec(), || {
        use cap_std::fs::MetadataExt;
        upper.create_dir("dir").expect("create_dir");
        upper.write("dir/file", "12345").expect("write");
        upper.symlink("file", "dir/link").expect("symlink");
        upper
            .hard_link("dir/file", &upper, "dir/hard")
            .expect("hard_link");
        upper.rename("dir/hard", &upper, "moved").expect("rename");
        let mut file = upper.open("dir/link").expect("open through a link");
        let mut text = String::new();
        file.read_to_string(&mut text).expect("read");
        let metadata = upper.symlink_metadata("dir/file").expect("metadata");
        let link = upper.read_link("dir/link").expect("read_link");
        let names = upper.read_dir("dir").expect("read_dir").count();
        let times = cap_fs_ext::DirExt::set_symlink_times(
            &upper,
            "dir/link",
            Some(cap_fs_ext::SystemTimeSpec::SymbolicNow),
            None,
        );
        times.expect("set_symlink_times");
        upper.remove_dir_all("dir").expect("remove_dir_all");
        upper.remove_file("moved").expect("remove_file");
        (text, metadata.nlink(), link, names)
    });
    assert_eq!(
        result,
        Ended::Said(("12345".to_owned(), 2, "file".into(), 2))
    );
}

#[test]
fn what_was_open_stays_usable() {
    let ground = Ground::new();
    let file = std::fs::File::options()
        .read(true)
        .write(true)
        .open(ground.outside.join("file"))
        .expect("open");
    let result = behind(WallSpec::default(), || {
        let mut text = String::new();
        (&file).read_to_string(&mut text).expect("read");
        (&file).write_all(b"!").expect("write");
        file.sync_all().expect("sync");
        text
    });
    assert_eq!(result, Ended::Said("outside".to_owned()));
    assert_eq!(
        std::fs::read(ground.outside.join("file")).expect("read"),
        b"outside!"
    );
}

#[test]
fn memory_and_random_numbers_are_there() {
    let result = behind(WallSpec::default(), || {
        // Past the size where the allocator maps, grown so that it moves.
        let mut bytes = vec![1_u8; 1 << 20];
        for _ in 0..4 {
            bytes.extend_from_within(..);
        }
        let mut random = [0_u8; 32];
        // SAFETY: getrandom writes at most 32 bytes into 32.
        let got = unsafe { libc::getrandom(random.as_mut_ptr().cast(), random.len(), 0) };
        (bytes.len(), got, random != [0; 32])
    });
    assert_eq!(result, Ended::Said((16 << 20, 32, true)));
}

#[test]
fn abort_still_aborts() {
    let aborted: Ended<()> = behind(WallSpec::default(), || std::process::abort());
    assert_eq!(aborted, Ended::Killed(libc::SIGABRT));
}

/// The page that [`unprotect`] makes writable.
static GUARDED: AtomicPtr<libc::c_void> = AtomicPtr::new(ptr::null_mut());
const PAGE: usize = 4096;

extern "C" fn unprotect(_: libc::c_int) {
    // SAFETY: the test's own mapping of one page; writable is what the interrupted write needs.
    unsafe {
        libc::mprotect(
            GUARDED.load(Relaxed),
            PAGE,
            libc::PROT_READ | libc::PROT_WRITE,
        )
    };
}

#[test]
fn a_memory_fault_is_handled_on_its_own_stack_and_returned_from() {
    let result = behind(WallSpec::default(), || {
        let mut stack = vec![0_u8; 64 << 10];
        // SAFETY: a zeroed sigaction and stack_t are valid ones; `stack` outlives the signal. The page is a fresh mapping, and
        // the write to it faults, runs the handler, and is done again when the page has become writable.
        unsafe {
            let page = libc::mmap(
                ptr::null_mut(),
                PAGE,
                libc::PROT_NONE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            );
            assert_ne!(page, libc::MAP_FAILED);
            GUARDED.store(page, Relaxed);
            let mut alternative: libc::stack_t = std::mem::zeroed();
            alternative.ss_sp = stack.as_mut_ptr().cast();
            alternative.ss_size = stack.len();
            assert_eq!(
                libc::sigaltstack(&raw const alternative, ptr::null_mut()),
                0
            );
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = unprotect as *const () as usize;
            action.sa_flags = libc::SA_ONSTACK;
            assert_eq!(
                libc::sigaction(libc::SIGSEGV, &raw const action, ptr::null_mut()),
                0
            );
            page.cast::<u8>().write_volatile(42);
            page.cast::<u8>().read_volatile()
        }
    });
    assert_eq!(result, Ended::Said(42));
}

#[test]
fn a_process_with_other_threads_is_left_alone() {
    let result = crate::child::in_child(|| {
        let (stop, stopped) = mpsc::channel::<()>();
        let thread = std::thread::spawn(move || stopped.recv().is_err());
        let refused = matches!(raise(&WallSpec::default()), Err(WallError::OtherThreads));
        drop(stop);
        thread.join().expect("join");
        (refused, std::fs::File::open("/etc/passwd").is_ok())
    });
    assert_eq!(result, Ended::Said((true, true)));
}
