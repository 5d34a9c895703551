//! Tells what a guest is refused: its record, the caller, and the policy that is being written.

use std::collections::BTreeSet;
use std::fs::File;
use std::sync::{Mutex, PoisonError};

use coracle_runtime::container::{Container, Owned, Refusals};
use coracle_runtime::policy::record::Recorder;
use coracle_runtime::policy::{Capability, Observer};

use super::super::Error;

/// Different refusals that are told. A guest that tries more is looking for holes, and would fill a terminal.
const TOLD: usize = 16;

/// The observer of a container's guest.
#[derive(Debug)]
pub(in super::super) struct Watch {
    refusals: Refusals,
    recorder: Option<Recorder>,
    tell: Option<fn(&Capability)>,
    told: Mutex<BTreeSet<Capability>>,
}

impl Watch {
    /// Watches over a container. `record` is where the policy is written that it needs.
    pub(in super::super) fn new(
        owned: &Owned,
        record: Option<&File>,
        tell: Option<fn(&Capability)>,
    ) -> Result<Self, Error> {
        let policy = &owned.container.config.policy;
        let recorder = record
            .map(|file| Recorder::new(file.try_clone()?, policy))
            .transpose();
        Ok(Self {
            refusals: owned.record.refusals(),
            recorder: recorder.map_err(Error::Recording)?,
            tell,
            told: Mutex::default(),
        })
    }

    /// Watches over another program in a container. What it is refused goes to the container's record as well.
    pub(in super::super) fn beside(
        container: &Container,
        tell: Option<fn(&Capability)>,
    ) -> Result<Self, Error> {
        Ok(Self {
            refusals: container.refusals()?,
            recorder: None,
            tell,
            told: Mutex::default(),
        })
    }
}

impl Observer for Watch {
    fn used(&self, capability: &Capability) {
        if let Some(recorder) = &self.recorder {
            recorder.used(capability);
        }
    }

    fn refused(&self, capability: &Capability) {
        if let Some(recorder) = &self.recorder {
            recorder.refused(capability);
        }
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() >= TOLD || !told.insert(capability.clone()) {
            return;
        }
        // A full disk must not make a refusal a grant, nor end the guest.
        self.refusals.add(capability).ok();
        if let Some(tell) = self.tell {
            tell(capability);
        }
    }
}
