//! Enclaves under QEMU: for machines without Nitro hardware.
//!
//! What the hardware and its tools bring is made here: the vsock device, the other end of the
//! heartbeat, and a security module whose documents a development root signs.

mod accelerator;
mod parent;
mod process;
pub(crate) mod vsock;

pub(crate) use parent::dev_root;

use super::{Connector, Driver, Machine, Order, Services};
use crate::config::RunConfig;
use crate::error::HostError;
use crate::event::{Accelerator, Progress};
use crate::run::admission;
use process::{Hardware, PROGRAM, Qemu};
use std::path::PathBuf;
use vsock::Vsock;

/// The driver.
#[derive(Debug)]
pub(crate) struct Emulator;

impl Driver for Emulator {
    fn admit(&self, config: &RunConfig) -> Result<(), HostError> {
        admission::host_memory(config.memory_mib)
    }

    fn prepare(&self, order: &Order<'_>, mut services: Services) -> Result<Box<dyn Machine>, HostError> {
        let run = order.dir.path();
        let accelerator = accelerator::choose(order.dirs, order.image, run)?;
        parent::start(order, &mut services)?;
        let socket = run.join("vsock");
        let vsock = Vsock::start(&socket, services, order.messages.clone())?;
        Ok(Box::new(Emulated { qemu: None, vsock, accelerator, socket, debug: order.config.debug }))
    }
}

/// An emulated machine. QEMU goes before its device.
struct Emulated {
    qemu: Option<Qemu>,
    vsock: Vsock,
    accelerator: Accelerator,
    socket: PathBuf,
    debug: bool,
}

impl Machine for Emulated {
    fn accelerator(&self) -> &Accelerator {
        &self.accelerator
    }

    fn connector(&self) -> Connector {
        self.vsock.connector()
    }

    fn power_on(&mut self, order: &Order<'_>) -> Result<(), HostError> {
        let hardware = Hardware {
            kvm: self.accelerator == Accelerator::Kvm,
            cpus: order.config.cpus,
            memory_mib: order.config.memory_mib,
            debug: self.debug,
            vsock: &self.socket,
        };
        self.qemu = Some(Qemu::start(hardware, order.image, order.dir.path(), order.messages)?);
        Ok(())
    }

    fn kill(&mut self) {
        if let Some(qemu) = &self.qemu {
            qemu.kill();
        }
    }

    fn is_finished(&self) -> bool {
        self.qemu.as_ref().is_none_or(Qemu::is_finished)
    }

    fn why(&mut self, progress: Progress) -> HostError {
        let (status, stderr) = self.qemu.take().map(Qemu::join).unwrap_or_default();
        let debug = self.debug;
        match status.and_then(|status| status.code()) {
            // A reset ends QEMU in order, because of -no-reboot.
            Some(0) => HostError::GuestReset { progress, debug },
            // setpriv could not find it.
            Some(127) => HostError::QemuMissing { program: PROGRAM },
            _ => {
                let status = status.map_or_else(|| "nobody saw how".to_owned(), |status| status.to_string());
                HostError::QemuEnded { status, progress, stderr, debug }
            }
        }
    }
}
