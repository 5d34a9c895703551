//! Flags about registries.

use crate::engine::Registries;

/// How the registry is spoken to.
#[derive(clap::Args)]
pub(in super::super) struct RegistryArgs {
    /// With `false`: accept any certificate, and plain HTTP where there is no HTTPS. The password goes to whoever answers
    #[arg(
        long,
        value_name = "BOOL",
        default_value_t = true,
        default_missing_value = "true",
        num_args = 0..=1,
        require_equals = true,
        action = clap::ArgAction::Set,
        hide_default_value = true
    )]
    tls_verify: bool,
}

impl RegistryArgs {
    /// Applies the flags.
    pub(in super::super) fn apply(&self, registries: Registries) -> Registries {
        Registries {
            verify_tls: registries.verify_tls && self.tls_verify,
            ..registries
        }
    }
}
