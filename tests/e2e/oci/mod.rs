//! `coracle oci`: native containers from bundles, as root and as an ordinary user, alone and under Podman and containerd.
//!
//! These need root and busybox; without root they say that they skip. Their cgroups lie under one of the test's own.

mod bundle;

mod escapes;
mod life;
mod limits;
mod peers;
mod privileges;
