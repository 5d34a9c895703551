//! Which system calls a container has.

use std::collections::BTreeSet;

use coracle_runtime::container::{NativeConfig, SeccompChoice};
use coracle_runtime::sandbox::native::seccomp::Profile;
use oci_spec::runtime::{Capability, LinuxSeccomp};

use super::SpecError;

/// Returns the filter for a container with these capabilities. `None`: it has all calls.
///
/// # Errors
///
/// The profile that was given is none.
pub(super) fn chosen(
    native: &NativeConfig,
    capabilities: &[Capability],
) -> Result<Option<LinuxSeccomp>, SpecError> {
    let profile = match &native.security.seccomp {
        // Docker does not filter what is privileged, unless a profile was named.
        SeccompChoice::Default if native.privileged => return Ok(None),
        SeccompChoice::Unconfined => return Ok(None),
        SeccompChoice::Default => Profile::docker_default(),
        SeccompChoice::Profile(text) => {
            Profile::parse(text).map_err(|error| SpecError::Profile {
                problem: error.to_string(),
            })?
        }
    };
    let names: BTreeSet<String> = capabilities
        .iter()
        .map(|capability| format!("CAP_{capability}"))
        .collect();
    Ok(Some(profile.resolve(&names, kernel())))
}

/// The kernel's version, as far as profiles look at it; 0 if it cannot be read.
fn kernel() -> (u32, u32) {
    let text = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = text
        .split(|letter: char| !letter.is_ascii_digit())
        .map(|number| number.parse().unwrap_or_default());
    (
        numbers.next().unwrap_or_default(),
        numbers.next().unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_chosen() {
        let chosen = |native: &NativeConfig| chosen(native, &[Capability::Chown]);
        let mut native = NativeConfig::default();
        assert!(chosen(&native).expect("the usual one").is_some());
        native.privileged = true;
        assert!(chosen(&native).expect("none").is_none());
        native.security.seccomp =
            SeccompChoice::Profile(r#"{"defaultAction":"SCMP_ACT_ALLOW"}"#.to_owned());
        assert!(chosen(&native).expect("its own").is_some());
        native.security.seccomp = SeccompChoice::Profile("{}".to_owned());
        assert!(chosen(&native).is_err());
        native.security.seccomp = SeccompChoice::Unconfined;
        assert!(chosen(&native).expect("none").is_none());
        assert!(kernel() > (4, 0));
    }
}
