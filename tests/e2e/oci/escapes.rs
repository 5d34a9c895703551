//! Published ways out of containers, each tried.

use std::os::unix::fs::{MetadataExt, symlink};
use std::process::Stdio;
use std::{fs, path::Path};

use serde_json::json;

use super::bundle::Bundle;
use crate::world::wait_until;

/// CVE-2019-5736: the container executes the launcher's own file, and writes to it.
#[test]
fn the_launchers_executable_cannot_be_written_to() {
    let Some(mut bundle) = Bundle::new() else {
        return;
    };
    // It waits for a password.
    let asks = [
        "login",
        "--username",
        "u",
        "--password-stdin",
        "127.0.0.1:1",
    ];
    bundle.program(&[&["/proc/self/exe"], asks.as_slice()].concat());
    let mut command = bundle.command(&["run", &bundle.id]);
    let mut child = command
        .stdin(Stdio::piped())
        .spawn()
        .expect("the container starts");
    wait_until("it runs", || {
        bundle
            .oci(&["state", &bundle.id])
            .text()
            .contains("running")
    });
    let output = bundle.exec("head -c 4 /proc/1/exe; echo x >> /proc/1/exe");
    assert!(
        output.text().contains("ELF"),
        "it is that file: {}",
        output.errors()
    );
    assert!(
        output.errors().contains("Read-only file system"),
        "{}",
        output.errors()
    );
    assert_ne!(output.code, Some(0));
    bundle.ok(&["kill", &bundle.id, "KILL"]);
    drop(child.stdin.take());
    child.wait().expect("it ends");
}

/// CVE-2024-21626: a working directory through a descriptor that the launcher has left open.
#[test]
fn no_descriptor_and_no_directory_of_the_host_is_left() {
    let Some(mut bundle) = Bundle::new() else {
        return;
    };
    let output =
        bundle.shell("ls /proc/self/fd | tr '\\n' ' '; cat /proc/self/environ | tr '\\0' ' '");
    let text = output.text();
    assert!(
        text.starts_with("0 1 2 3 ") && text.contains("PATH="),
        "3 is the list itself: {text}"
    );
    assert!(!text.contains("CORACLE_ROOT"), "{text}");
    bundle.program(&["pwd"]);
    for number in 3..16 {
        bundle.spec["process"]["cwd"] = json!(format!("/proc/self/fd/{number}"));
        let output = bundle.run();
        assert_eq!(output.code, Some(1), "{number}: {}", output.text());
        assert!(
            output.errors().contains("working directory"),
            "{}",
            output.errors()
        );
    }
}

/// CVE-2019-19921, CVE-2023-27561, CVE-2021-30465 and others: links in the image where the launcher mounts.
#[test]
fn links_in_an_image_lead_nowhere() {
    let Some(mut bundle) = Bundle::new() else {
        return;
    };
    bundle.program(&["true"]);
    for name in ["proc", "dev", "sys"] {
        symlink("/bin", bundle.path(name)).expect("a link");
        let output = bundle.run();
        assert_eq!(output.code, Some(1), "{name}");
        assert!(
            output.errors().contains(&format!("mounting /{name}")),
            "{}",
            output.errors()
        );
        fs::remove_file(bundle.path(name)).expect("the link goes");
    }
    // What is mounted below a link lands inside, or nowhere.
    let victim = bundle.world.path("victim");
    fs::create_dir(&victim).expect("a folder of the host");
    symlink(&victim, bundle.path("way-out")).expect("a link");
    let mount = json!({"destination": "/way-out/in", "type": "tmpfs", "source": "tmpfs"});
    bundle.push("/mounts", mount);
    drop(bundle.run());
    assert_eq!(fs::read_dir(&victim).expect("it is there").count(), 0);
}

/// CVE-2025-31133: what masks is not what it seems.
#[test]
fn a_null_device_of_the_image_is_not_trusted() {
    let Some(mut bundle) = Bundle::new() else {
        return;
    };
    bundle.program(&["true"]);
    let mounts = bundle.spec["mounts"].as_array_mut().expect("mounts");
    mounts.retain(|mount| {
        !mount["destination"]
            .as_str()
            .is_some_and(|path| path.starts_with("/dev"))
    });
    fs::create_dir(bundle.path("dev")).expect("a folder");
    symlink("/proc/sys/kernel/core_pattern", bundle.path("dev/null")).expect("a link");
    let output = bundle.run();
    assert_eq!(output.code, Some(1));
    assert!(output.errors().contains("/dev/null"), "{}", output.errors());
}

#[test]
fn nothing_is_mounted_over_proc() {
    let Some(mut bundle) = Bundle::new() else {
        return;
    };
    bundle.program(&["true"]);
    let mount = json!({"destination": "/proc/self", "type": "tmpfs", "source": "tmpfs"});
    bundle.push("/mounts", mount);
    let output = bundle.run();
    assert!(
        output
            .errors()
            .contains("/proc, where nothing may be mounted"),
        "{}",
        output.errors()
    );
    assert_eq!(output.code, Some(1));
}

#[test]
fn the_kernels_switches_are_out_of_reach() {
    let Some(mut bundle) = Bundle::new() else {
        return;
    };
    let before = fs::read("/proc/sys/kernel/core_pattern").expect("the kernel's setting");
    let script = "for f in /proc/sys/kernel/core_pattern /proc/sys/vm/drop_caches /proc/sysrq-trigger \
                  /proc/irq/default_smp_affinity /sys/power/state /sys/fs/cgroup/devices/devices.allow; do \
                  (echo 1 > $f) 2>/dev/null && echo wrote $f; done; \
                  cat /proc/keys /proc/timer_list /proc/kcore 2>/dev/null | wc -c; ls /sys/firmware | wc -l";
    let output = bundle.shell(script);
    assert_eq!(output.text(), "0\n0\n", "{}", output.errors());
    let after = fs::read("/proc/sys/kernel/core_pattern").expect("the kernel's setting");
    assert_eq!(before, after);
}

/// CAP_MKNOD is among Docker's: the devices cgroup is what keeps the host's disks away.
#[test]
fn a_made_block_device_cannot_be_opened() {
    let Some(mut bundle) = Bundle::new() else {
        return;
    };
    for set in ["bounding", "effective", "permitted"] {
        bundle.push(&format!("/process/capabilities/{set}"), json!("CAP_MKNOD"));
    }
    bundle.spec["root"]["readonly"] = json!(false);
    let device = fs::metadata("/").expect("the host's root").dev();
    let (major, minor) = (libc_major(device), libc_minor(device));
    let script = format!(
        "mknod /d b {major} {minor} && echo made; head -c 1 /d | wc -c; mknod /n c 1 3 && head -c 1 /n && echo null"
    );
    let output = bundle.shell(&script);
    assert_eq!(output.text(), "made\n0\nnull\n", "{}", output.errors());
    assert!(
        output.errors().contains("Operation not permitted"),
        "{}",
        output.errors()
    );
}

fn libc_major(device: u64) -> u64 {
    (device >> 8) & 0xfff | (device >> 32) & !0xfff
}

fn libc_minor(device: u64) -> u64 {
    device & 0xff | (device >> 12) & !0xff
}

#[test]
fn other_processes_and_the_hosts_files_are_not_seen() {
    let Some(mut bundle) = Bundle::new() else {
        return;
    };
    let host = std::process::id();
    let output = bundle.shell(&format!(
        "ls -d /proc/[0-9]* | wc -l; kill -0 {host} 2>/dev/null || echo no; ls /proc/1/root/ | tr '\\n' ' '; hostname"
    ));
    let text = output.text();
    let mut lines = text.lines();
    let seen: u32 = lines
        .next()
        .and_then(|count| count.parse().ok())
        .expect("a count");
    assert!(seen <= 4, "{text}");
    assert_eq!(lines.next(), Some("no"));
    // No line ends in between: the host name follows.
    assert_eq!(lines.next(), Some("bin dev proc sys coracle"));
    assert!(Path::new("/proc/1").exists());
}
