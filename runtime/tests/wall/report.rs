//! The report, and the kernel's own word for it.

use coracle_runtime::sandbox::wall::{WallReport, WallSpec, raise};

use crate::child::{Ended, in_child};

#[test]
fn the_kernel_says_what_the_report_says() {
    let result = in_child(|| {
        let mut status = std::fs::File::open("/proc/self/status").expect("open");
        let report = raise(&WallSpec::default()).expect("raise the wall");
        let mut text = String::new();
        std::io::Read::read_to_string(&mut status, &mut text).expect("read");
        (report, text)
    });
    let Ended::Said((report, status)) = result else {
        panic!("killed")
    };
    let report: WallReport = report;
    let field = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .map(str::trim)
    };
    assert_eq!(field("NoNewPrivs:"), Some("1"), "{report:?}");
    assert_eq!(
        field("Seccomp:"),
        Some(if report.seccomp_instructions.is_some() {
            "2"
        } else {
            "0"
        })
    );
    assert_eq!(report.items.len(), 8);
    // No Landlock by the report is no Landlock by the kernel: version 0 of its interface.
    // SAFETY: landlock_create_ruleset with the version flag takes no pointer.
    let abi = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<u8>(),
            0,
            1,
        )
    };
    assert_eq!(report.landlock_abi.is_some(), abi > 0, "{abi}");
}
