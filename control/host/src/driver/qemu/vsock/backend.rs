//! The device behind vhost-user: virtqueues of the guest on one side, [`Device`] on the other.
//!
//! Nothing here fails on what the guest does: a malformed chain is returned unused and ignored. An
//! error would end the worker thread, and with it every connection.

use super::device::{Device, GUEST_CID};
use super::memory::{Chain, Slices};
use super::packet::{HEADER, Header, MAX_PACKET};
use crate::driver::{Connect, Services};
use crate::run::Message;
use nix::sys::epoll::{EpollEvent, EpollFlags};
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::io;
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use vhost::vhost_user::message::{VhostUserProtocolFeatures, VhostUserVirtioFeatures};
use vhost_user_backend::{VhostUserBackendMut, VringMutex, VringState, VringT as _};
use virtio_queue::{QueueOwnedT as _, QueueT as _};
use vm_memory::{GuestAddressSpace as _, GuestMemoryAtomic, GuestMemoryMmap};
use vmm_sys_util::epoll::EventSet;
use vmm_sys_util::event::{EventConsumer, EventFlag, EventNotifier, new_event_consumer_and_notifier};

/// Receive, transmit and event queue (virtio 1.2, section 5.10.2); QEMU keeps the last one.
const QUEUES: usize = 3;
const RECEIVE_QUEUE: usize = 0;
const TRANSMIT_QUEUE: usize = 1;
/// Event number of the streams' epoll: past the queues and the exit event.
pub(super) const STREAMS_EVENT: u64 = QUEUES as u64 + 1;
/// Virtio feature bits (virtio 1.2, section 6).
const FEATURE_EVENT_IDX: u64 = 1 << 29;
const FEATURE_VERSION_1: u64 = 1 << 32;

type Memory = GuestMemoryAtomic<GuestMemoryMmap>;

/// The vhost-user backend.
pub(super) struct Backend {
    device: Device,
    memory: Option<Memory>,
    /// Chains that the guest sent and has not got back yet.
    held: Held,
    /// Locked by nobody: the mutex only makes the receiver shareable, as the trait asks.
    commands: Mutex<Receiver<Connect>>,
    wake: Arc<EventFd>,
    /// Hears of connections that were refused.
    messages: SyncSender<Message>,
}

impl Backend {
    /// A backend that takes commands from a channel after its wake event.
    pub(super) fn new(
        services: Services,
        commands: Receiver<Connect>,
        messages: SyncSender<Message>,
    ) -> io::Result<Self> {
        let device = Device::new(services)?;
        let wake = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        device.epoll().add(&wake, EpollEvent::new(EpollFlags::EPOLLIN, Device::WAKE))?;
        let commands = Mutex::new(commands);
        Ok(Self { device, memory: None, held: Held::default(), commands, wake: Arc::new(wake), messages })
    }

    /// Wakes the worker after a command was sent.
    pub(super) fn wake(&self) -> Arc<EventFd> {
        Arc::clone(&self.wake)
    }

    /// The descriptor that announces [`STREAMS_EVENT`].
    pub(super) fn streams_fd(&self) -> std::os::fd::RawFd {
        std::os::fd::AsRawFd::as_raw_fd(&self.device.epoll().0)
    }

    /// Takes packets the guest sends. Returns whether the queue was emptied.
    fn transmit(&mut self, vring: &VringMutex) -> bool {
        let Some(memory) = self.memory.clone() else { return true };
        let mut state = vring.get_mut();
        let enough = usize::from(state.get_queue().size()) / 4;
        // An error here is a broken ring; the guest gets no further kicks and no answers.
        let _ = state.disable_notification();
        loop {
            if self.device.input_paused() {
                return false;
            }
            let Some(chain) = next_chain(&mut state, &memory) else { return true };
            let (head, places) = (chain.head_index(), chain.clone().count());
            let guest = memory.memory();
            self.held.heads.push(head);
            // A chain that cannot be read takes a place, too, or a guest could have any number of them held.
            self.held.places += places.max(1);
            if let Some(bytes) = Slices::readable(chain, &guest) {
                self.held.bytes += bytes.len();
                self.take_packet(bytes);
            }
            if self.held.places >= enough || self.held.bytes >= HELD_BYTES {
                self.held.give_back(&mut state);
                signal(&mut state, true);
            }
        }
    }

    fn take_packet(&mut self, mut bytes: Slices<'_>) {
        let Some(head) = bytes.split_off_front(HEADER) else { return };
        let mut header = [0; HEADER];
        head.copy_to(&mut header);
        let header = Header::from_bytes(&header);
        let length = usize::try_from(header.len).ok().filter(|length| *length <= MAX_PACKET);
        if let Some(data) = length.and_then(|length| bytes.split_off_front(length)) {
            self.device.receive(&header, data);
        }
    }

    /// Fills the guest's receive buffers as far as there are packets and buffers.
    fn deliver(&mut self, vrings: &[VringMutex]) {
        let vring = &vrings[RECEIVE_QUEUE];
        let Some(memory) = self.memory.clone() else { return };
        let mut used = false;
        let mut state = vring.get_mut();
        while self.device.has_output() {
            let _ = state.disable_notification();
            // Out of buffers: the guest's next ones come with a kick.
            let Some(chain) = next_chain(&mut state, &memory) else { break };
            let head = chain.head_index();
            let guest = memory.memory();
            let space = Slices::writable(chain, &guest).and_then(|mut space| {
                let header = space.split_off_front(HEADER)?;
                (!space.is_empty()).then_some((header, space))
            });
            let Some((header, space)) = space else {
                used |= state.add_used(head, 0).is_ok();
                continue;
            };
            let Some((packet, len)) = self.device.next(&space) else {
                state.get_queue_mut().go_to_previous_position();
                break;
            };
            header.copy_from(&packet.to_bytes());
            let length = u32::try_from(HEADER + len).expect("at most MAX_PACKET");
            used |= state.add_used(head, length).is_ok();
        }
        if used {
            // One interrupt is for both queues.
            self.held.give_back(&mut vrings[TRANSMIT_QUEUE].get_mut());
        }
        signal(&mut state, used);
    }
}

/// The next chain; where there is none, the guest's next one comes with a kick.
///
/// Chains that came before kicks were on again are looked for once: a ring that then still says there
/// are some and has none is broken, and asking it for ever would hang the agent.
fn next_chain(state: &mut VringState, memory: &Memory) -> Option<Chain> {
    state.get_queue_mut().pop_descriptor_chain(memory.memory()).or_else(|| {
        if !state.enable_notification().unwrap_or(false) {
            return None;
        }
        let _ = state.disable_notification();
        state.get_queue_mut().pop_descriptor_chain(memory.memory())
    })
}

/// Chains that were taken from the guest and not given back. The guest does nothing with them but free their memory, so a few
/// small ones are no reason to interrupt it: it finds them when it is interrupted for what it gets.
#[derive(Default)]
struct Held {
    heads: Vec<u16>,
    /// How many places of the queue they have.
    places: usize,
    bytes: usize,
}

impl Held {
    fn give_back(&mut self, state: &mut VringState) {
        for head in self.heads.drain(..) {
            // An error here is a broken ring.
            let _ = state.add_used(head, 0);
        }
        (self.places, self.bytes) = (0, 0);
    }
}

/// How many bytes of packets are held at most: less than what a guest that sends much waits for.
const HELD_BYTES: usize = 8 * 1024;

fn signal(state: &mut VringState, used: bool) {
    if used && state.needs_notification().unwrap_or(true) {
        // Fails only when QEMU is gone.
        let _ = state.signal_used_queue();
    }
}

impl VhostUserBackendMut for Backend {
    type Bitmap = ();
    type Vring = VringMutex;

    fn num_queues(&self) -> usize {
        QUEUES
    }

    fn max_queue_size(&self) -> usize {
        1024
    }

    fn features(&self) -> u64 {
        FEATURE_VERSION_1 | FEATURE_EVENT_IDX | VhostUserVirtioFeatures::PROTOCOL_FEATURES.bits()
    }

    fn protocol_features(&self) -> VhostUserProtocolFeatures {
        VhostUserProtocolFeatures::MQ | VhostUserProtocolFeatures::CONFIG
    }

    fn set_event_idx(&mut self, _enabled: bool) {
        // Each queue knows; `needs_notification` and `enable_notification` act on it.
    }

    /// The device's configuration: the guest's context id, 8 bytes (virtio 1.2, section 5.10.4).
    fn get_config(&self, offset: u32, size: u32) -> Vec<u8> {
        let config = GUEST_CID.to_le_bytes();
        let range = usize::try_from(offset).ok().zip(usize::try_from(size).ok());
        range
            .and_then(|(offset, size)| config.get(offset..offset.checked_add(size)?))
            .map(<[u8]>::to_vec)
            .unwrap_or_default()
    }

    fn update_memory(&mut self, memory: Memory) -> io::Result<()> {
        self.memory = Some(memory);
        Ok(())
    }

    fn exit_event(&self, _thread_index: usize) -> Option<(EventConsumer, EventNotifier)> {
        new_event_consumer_and_notifier(EventFlag::NONBLOCK | EventFlag::CLOEXEC).ok()
    }

    fn handle_event(
        &mut self,
        event: u16,
        _set: EventSet,
        vrings: &[VringMutex],
        _thread: usize,
    ) -> io::Result<()> {
        if u64::from(event) == STREAMS_EVENT {
            let _ = self.wake.read();
            let commands = self.commands.get_mut().unwrap_or_else(PoisonError::into_inner);
            while let Ok(Connect { port, stream }) = commands.try_recv() {
                self.device.connect(port, stream);
            }
            if let Some(refused) = self.device.take_news() {
                // A run that has so much to say that there is no room hears of a later one.
                let _ = self.messages.try_send(Message::Refused(refused));
            }
            self.device.poll_streams();
        }
        // Each may make room for the other: refusals delivered let the guest send again.
        while !self.transmit(&vrings[TRANSMIT_QUEUE]) {
            let before = self.device.has_output();
            self.deliver(vrings);
            if self.device.input_paused() || !before {
                break;
            }
        }
        self.deliver(vrings);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vm_memory::{Bytes as _, GuestAddress};

    const AVAILABLE_RING: u64 = 0x1000;
    const USED_RING: u64 = 0x2000;

    /// A queue of 16 buffers, whose guest says that it made `available` of them available.
    fn ring(memory: &Memory, available: u16) -> VringMutex {
        let vring = VringMutex::new(memory.clone(), 16).unwrap();
        vring.set_queue_size(16);
        vring.set_queue_info(0, AVAILABLE_RING, USED_RING).unwrap();
        vring.set_queue_ready(true);
        memory.memory().write_obj(available, GuestAddress(AVAILABLE_RING + 2)).unwrap();
        vring
    }

    /// A device with this memory.
    fn backend(memory: &Memory) -> Backend {
        let (_commands, receiver) = std::sync::mpsc::channel();
        let (messages, _) = std::sync::mpsc::sync_channel(1);
        let mut backend = Backend::new(Services::new(), receiver, messages).unwrap();
        backend.update_memory(memory.clone()).unwrap();
        backend
    }

    fn memory() -> Memory {
        GuestMemoryAtomic::new(GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 0x8000)]).unwrap())
    }

    #[test]
    fn what_the_guest_sent_is_given_back_when_it_is_a_quarter_of_its_queue_or_long() {
        let memory = memory();
        let guest = memory.memory();
        let mut backend = backend(&memory);
        let given_back = || guest.read_obj::<u16>(GuestAddress(USED_RING + 2)).unwrap();
        let available = |count: u16| guest.write_obj(count, GuestAddress(AVAILABLE_RING + 2)).unwrap();
        // All 16 are the first descriptor, an empty one.
        let vring = ring(&memory, 3);
        assert!(backend.transmit(&vring));
        assert_eq!(given_back(), 0);
        available(4);
        assert!(backend.transmit(&vring));
        assert_eq!(given_back(), 4);
        // Now it is a long one.
        guest.write_obj(0x4000_u64, GuestAddress(0)).unwrap();
        guest.write_obj(u32::try_from(HELD_BYTES).unwrap(), GuestAddress(8)).unwrap();
        available(5);
        assert!(backend.transmit(&vring));
        assert_eq!(given_back(), 5);
    }

    #[test]
    fn a_ring_that_lies_about_its_buffers_does_not_hold_the_agent_up() {
        let memory = memory();
        let mut backend = backend(&memory);
        let (ours, _theirs) = crate::driver::HostStream::pair().unwrap();
        backend.device.connect(49510, ours);
        assert!(backend.device.has_output());
        // More buffers than the ring has: what virtio-queue refuses to take one from.
        let lying = ring(&memory, 5000);
        assert!(lying.get_mut().enable_notification().unwrap());
        assert!(lying.get_mut().get_queue_mut().pop_descriptor_chain(memory.memory()).is_none());
        assert!(backend.transmit(&lying));
        backend.deliver(&[lying.clone(), lying]);
        assert!(backend.device.has_output());
    }
}
