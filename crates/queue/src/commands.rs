//! Commands to the real-time side, and what it gives back.
//!
//! The real-time side must not free memory. Whatever it lets go of (a stream that ended, the settings that new ones
//! replaced) travels back through a second queue and is dropped by the control side.
//!
//! States, from either half:
//! - *full*: [`CommandSender::send`] hands the command back. Space appears when the other side receives.
//! - *empty*: [`CommandReceiver::receive`] and [`CommandSender::collect`] return none.
//! - *peer gone*: the other half was dropped. What it sent before can still be taken; what is sent to it is handed back.
//!
//! One retirement per command is certain to find room: a command is only handed out while there is room for what it
//! may replace. Whatever else finds the way back full waits, and so do commands: [`CommandSender::take_held`] tells the
//! control side, which then has to see to it that the real-time side comes round once more.

use core::fmt;

use rtrb::{Consumer, Producer, PushError, RingBuffer};

use crate::Flag;
use crate::sync::{Ordering, fence};

/// A queue for `capacity` commands of type `C`, with a way back for as many retired values of type `R`.
///
/// A capacity of 0 counts as 1.
#[must_use]
pub fn channel<C, R>(capacity: usize) -> (CommandSender<C, R>, CommandReceiver<C, R>) {
    let (commands_in, commands_out) = RingBuffer::new(capacity.max(1));
    let (retired_in, retired_out) = RingBuffer::new(capacity.max(1));
    let held = Flag::new();
    (
        CommandSender { commands: commands_in, retired: retired_out, held: held.clone() },
        CommandReceiver { commands: commands_out, retired: retired_in, held },
    )
}

/// The control side's half.
pub struct CommandSender<C, R> {
    commands: Producer<C>,
    retired: Consumer<R>,
    held: Flag,
}

/// A command that was not sent, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError<C> {
    /// The queue is full: the real-time side has not come round yet, or waits for [`CommandSender::collect`].
    Full(C),
    /// The real-time side is gone; nobody will ever receive.
    PeerGone(C),
}

impl<C, R> CommandSender<C, R> {
    /// Sends a command.
    ///
    /// # Errors
    /// [`SendError`] hands the command back.
    pub fn send(&mut self, command: C) -> Result<(), SendError<C>> {
        if self.commands.is_abandoned() {
            return Err(SendError::PeerGone(command));
        }
        self.commands.push(command).map_err(|PushError::Full(command)| SendError::Full(command))
    }

    /// The next value that the real-time side has let go of. To be called regularly, until none is left: while
    /// the way back is full, no command is received.
    pub fn collect(&mut self) -> Option<R> {
        self.retired.pop().ok()
    }

    /// Whether the real-time side has found the way back full since this was last asked. To be asked after
    /// [`CommandSender::collect`] has returned none: from then on there is room, and the real-time side has to be woken
    /// to use it.
    #[must_use]
    pub fn take_held(&self) -> bool {
        // Pairs with the fence in CommandReceiver::is_full: either the flag is seen here, or the room that was made
        // before is seen there.
        fence(Ordering::SeqCst);
        self.held.take()
    }

    /// Commands that can be sent for certain.
    #[must_use]
    pub fn room(&self) -> usize {
        self.commands.slots()
    }

    /// Whether the real-time side's half was dropped.
    #[must_use]
    pub fn is_peer_gone(&self) -> bool {
        self.commands.is_abandoned()
    }
}

/// The real-time side's half. All its methods may be called on the real-time thread, but it must not be dropped there.
pub struct CommandReceiver<C, R> {
    commands: Consumer<C>,
    retired: Producer<R>,
    /// Raised where the way back was found full.
    held: Flag,
}

impl<C, R> CommandReceiver<C, R> {
    /// The next command, in the order they were sent. None while there is no room for a retirement.
    pub fn receive(&mut self) -> Option<C> {
        if self.is_full() { None } else { self.commands.pop().ok() }
    }

    /// Lets go of a value: the control side will drop it. Certain to succeed once after each [`Self::receive`] that
    /// returned a command.
    ///
    /// # Errors
    /// The value, if the way back is full: keep it and try again in a later pass.
    pub fn retire(&mut self, value: R) -> Result<(), R> {
        if self.is_full() {
            return Err(value);
        }
        self.retired.push(value).map_err(|PushError::Full(value)| value)
    }

    /// Whether there is no room on the way back; the control side will know.
    fn is_full(&self) -> bool {
        if !self.retired.is_full() {
            return false;
        }
        self.held.raise();
        // Pairs with the fence in CommandSender::take_held.
        fence(Ordering::SeqCst);
        self.retired.is_full()
    }

    /// Whether the control side's half was dropped. Values that are retired after that are kept until this half is
    /// dropped.
    #[must_use]
    pub fn is_peer_gone(&self) -> bool {
        self.commands.is_abandoned()
    }
}

impl<C> fmt::Display for SendError<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "the command queue is full: collect what was retired and send again after the next pass",
            Self::PeerGone(_) => "the real-time side of the command queue is gone",
        })
    }
}

impl<C: fmt::Debug> core::error::Error for SendError<C> {}

impl<C, R> fmt::Debug for CommandSender<C, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommandSender").field("room", &self.room()).finish_non_exhaustive()
    }
}

impl<C, R> fmt::Debug for CommandReceiver<C, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommandReceiver").field("waiting", &self.commands.slots()).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::rc::Rc;

    use super::*;

    #[test]
    fn commands_keep_their_order_and_a_full_queue_hands_back() {
        let (mut sender, mut receiver) = channel::<_, u8>(2);
        assert_eq!(sender.send(1), Ok(()));
        assert_eq!(sender.send(2), Ok(()));
        assert_eq!((sender.room(), sender.send(3)), (0, Err(SendError::Full(3))));
        assert_eq!((receiver.receive(), receiver.receive(), receiver.receive()), (Some(1), Some(2), None));
    }

    #[test]
    fn one_retirement_per_command_always_finds_room() {
        let (mut sender, mut receiver) = channel::<u32, u32>(2);
        let (mut sent, mut retired, mut collected) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..100 {
            if sender.send(round).is_ok() {
                sent.push(round);
            }
            while let Some(command) = receiver.receive() {
                assert_eq!(receiver.retire(command), Ok(()));
                retired.push(command);
            }
            if round % 7 == 0 {
                collected.extend(core::iter::from_fn(|| sender.collect()));
            }
        }
        assert!(collected.len() > 25);
        assert!(sent.starts_with(&retired) && retired.starts_with(&collected));
    }

    #[test]
    fn what_is_retired_is_dropped_by_the_control_side() {
        let (mut sender, mut receiver) = channel::<Rc<()>, Rc<()>>(1);
        let value = Rc::new(());
        assert!(sender.send(Rc::clone(&value)).is_ok());
        let there = receiver.receive().unwrap();
        assert!(receiver.retire(there).is_ok());
        assert_eq!(Rc::strong_count(&value), 2);
        assert!(receiver.retire(Rc::new(())).is_err());
        drop(sender.collect());
        assert_eq!(Rc::strong_count(&value), 1);
    }

    #[test]
    fn what_was_held_up_by_a_full_way_back_is_told_once() {
        let (mut sender, mut receiver) = channel::<u8, u8>(1);
        sender.send(1).unwrap();
        assert_eq!((receiver.receive(), receiver.retire(1)), (Some(1), Ok(())));
        assert!(!sender.take_held(), "everything found room");
        sender.send(2).unwrap();
        assert_eq!(receiver.receive(), None, "no room for a retirement");
        assert_eq!((sender.collect(), sender.collect()), (Some(1), None));
        assert!(sender.take_held() && !sender.take_held());
        assert_eq!((receiver.receive(), receiver.retire(2), receiver.retire(3)), (Some(2), Ok(()), Err(3)));
        assert!(sender.take_held());
    }

    #[test]
    fn a_gone_peer_is_noticed_and_what_it_sent_can_still_be_taken() {
        let (mut sender, mut receiver) = channel::<u8, u8>(2);
        sender.send(1).unwrap();
        receiver.retire(9).unwrap();
        drop(receiver);
        assert_eq!(sender.send(2), Err(SendError::PeerGone(2)));
        assert_eq!((sender.is_peer_gone(), sender.collect()), (true, Some(9)));

        let (mut sender, mut receiver) = channel::<u8, u8>(2);
        sender.send(1).unwrap();
        drop(sender);
        assert_eq!((receiver.is_peer_gone(), receiver.receive()), (true, Some(1)));
    }
}
