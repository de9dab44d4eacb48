//! Commands to the real-time side, and what it is done with back again.

use rtrb::{Consumer, Producer, PushError, RingBuffer};

/// A bounded queue of commands `C` to a real-time thread, and a second one on which it gives back what it no longer
/// needs (`R`), so that nothing is ever freed there. One thread on each side; neither waits.
#[must_use]
pub fn command_queue<C, R>(capacity: usize) -> (CommandSender<C, R>, CommandReceiver<C, R>) {
    let (commands, incoming) = RingBuffer::new(capacity);
    let (outgoing, retired) = RingBuffer::new(capacity);
    (CommandSender { commands, retired }, CommandReceiver { incoming, outgoing })
}

/// The control side's half of a [`command_queue`].
#[derive(Debug)]
pub struct CommandSender<C, R> {
    commands: Producer<C>,
    retired: Consumer<R>,
}

/// The real-time side's half of a [`command_queue`].
#[derive(Debug)]
pub struct CommandReceiver<C, R> {
    incoming: Consumer<C>,
    outgoing: Producer<R>,
}

impl<C, R> CommandSender<C, R> {
    /// Queues a command.
    ///
    /// # Errors
    /// The command itself, where the queue is full: the real-time side has not taken any for long.
    pub fn send(&mut self, command: C) -> Result<(), C> {
        self.commands.push(command).map_err(|PushError::Full(command)| command)
    }

    /// Commands that fit now.
    #[must_use]
    pub fn space(&self) -> usize {
        self.commands.slots()
    }

    /// The next thing that the real-time side gave back, to be dropped or used here.
    pub fn poll_retired(&mut self) -> Option<R> {
        self.retired.pop().ok()
    }

    /// Whether the real-time side is gone for good.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.commands.is_abandoned()
    }
}

impl<C, R> CommandReceiver<C, R> {
    /// The next command. Real-time thread; wait-free.
    pub fn poll(&mut self) -> Option<C> {
        self.incoming.pop().ok()
    }

    /// Gives something back. Real-time thread; wait-free.
    ///
    /// # Errors
    /// The thing itself, where the queue is full: keep it and try again in a later pass, do not drop it here.
    pub fn retire(&mut self, thing: R) -> Result<(), R> {
        self.outgoing.push(thing).map_err(|PushError::Full(thing)| thing)
    }

    /// Things that can be given back now.
    #[must_use]
    pub fn retire_space(&self) -> usize {
        self.outgoing.slots()
    }

    /// Whether the control side is gone for good.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.incoming.is_abandoned()
    }
}
