//! Whose turn it is to have a connection.
//!
//! A call waits in a line of those that do the same for the same user, before it takes a connection. Of a line only so many
//! calls have one at the same time, in their order: a user's changes wait for each other at the server anyhow, where each
//! would hold a connection meanwhile. Lines take turns, however many calls wait in each. What waits at the server all the
//! same, for a lock that another process holds, has a small part of the connections, and the less time at once the more
//! calls wait so.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use self::caller::Line;

mod caller;
#[cfg(test)]
mod tests;

pub(super) use caller::{Caller, Whose};

/// Within how long each call that waits at a lock has a turn, however many do.
const ROUND: Duration = Duration::from_millis(200);

/// What a call that waits at a lock has at least: a round trip takes no less.
const LEAST: Duration = Duration::from_millis(2);

/// The connections that there may be at the same time, shared out.
#[derive(Debug)]
pub(super) struct Turns {
    connections: usize,
    /// How many of them calls that wait at locks have at the same time.
    most_at_locks: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    free: usize,
    /// How many of those that are taken are for waiting at locks.
    at_locks: usize,
    /// The lines of which a call has a connection or waits for one. No other is known.
    lines: HashMap<Arc<Line>, Calls>,
    /// The lines that wait for nothing but a free connection, by their turns; and those whose first call waits at a lock.
    ready: BTreeMap<u64, Arc<Line>>,
    ready_at_locks: BTreeMap<u64, Arc<Line>>,
    turns: u64,
    is_closed: bool,
}

#[derive(Debug, Default)]
struct Calls {
    served: usize,
    /// The place of the call that waits at a lock, with or without a turn.
    kept: Option<u64>,
    /// By their places, each with whether it waits at a lock.
    waiting: BTreeMap<u64, (oneshot::Sender<Turn>, bool)>,
    /// The line's turn if it is ready, and whether that is for waiting at a lock.
    turn: Option<(u64, bool)>,
}

/// What a call waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Awaited {
    /// Other calls for the same user.
    OwnCalls,
    /// Other calls that are about no single user either.
    Alike,
    /// A lock that another process holds.
    Lock,
    Connection,
}

/// The right to a connection. Dropping it gives the next call its turn.
#[derive(Debug)]
pub(super) struct Turn(Option<(Arc<Turns>, Arc<Line>, bool)>);

impl Turns {
    /// Behind a pooler nobody knows how many connections the server has for these: one at a time waits at a lock.
    pub(super) fn new(connections: u32, is_pooled: bool) -> Arc<Self> {
        let connections = connections as usize;
        let most_at_locks = if is_pooled { 1 } else { connections.div_ceil(4) };
        let state = State {
            free: connections,
            at_locks: 0,
            lines: HashMap::new(),
            ready: BTreeMap::new(),
            ready_at_locks: BTreeMap::new(),
            turns: 0,
            is_closed: false,
        };
        Arc::new(Self { connections, most_at_locks, state: Mutex::new(state) })
    }

    /// Waits for a turn; `None` if there are no more. Dropping the future leaves the line.
    pub(super) async fn take(self: &Arc<Self>, caller: &Caller) -> Option<Turn> {
        caller.ask(self);
        let (turn, _waiting) = {
            let mut state = self.state();
            if state.is_closed {
                return None;
            }
            if let Some(turn) = self.serve_at_once(&mut state, caller) {
                return Some(turn);
            }
            let (sender, turn) = oneshot::channel();
            let calls = state.lines.entry(Arc::clone(&caller.line)).or_default();
            calls.waiting.insert(caller.place, (sender, caller.waits_at_lock()));
            self.settle(&mut state, &caller.line);
            self.serve_ready(&mut state);
            (turn, Waiting { turns: self, caller })
        };
        turn.await.ok()
    }

    /// A turn, if there is one at once.
    pub(super) fn try_take(self: &Arc<Self>, caller: &Caller) -> Option<Turn> {
        let mut state = self.state();
        if state.is_closed { None } else { self.serve_at_once(&mut state, caller) }
    }

    /// What a call that is in its line waits for.
    pub(super) fn awaited(&self, caller: &Caller) -> Awaited {
        let state = self.state();
        let own = match caller.line.whose.is_one_users() {
            true => Awaited::OwnCalls,
            false => Awaited::Alike,
        };
        match state.lines.get(&caller.line) {
            Some(Calls { kept: Some(place), .. }) if *place == caller.place => Awaited::Lock,
            // Whoever is first waits at a lock, and has a turn only now and then.
            Some(Calls { kept: Some(_), .. }) => own,
            Some(calls) if calls.served >= caller.line.most(self.connections) => own,
            _ => Awaited::Connection,
        }
    }

    /// How long a call may wait at a lock with its turn, so that all who wait so have theirs within a round.
    pub(super) fn share_at_lock(&self) -> Duration {
        let state = self.state();
        let waiting = (state.ready_at_locks.len() + state.at_locks).max(1);
        let share = ROUND.saturating_mul(self.most_at_locks as u32) / u32::try_from(waiting).unwrap_or(u32::MAX);
        share.clamp(LEAST, ROUND)
    }

    /// Gives no more turns.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.is_closed = true;
        state.ready.clear();
        state.ready_at_locks.clear();
        state.lines.retain(|_, calls| {
            calls.waiting.clear();
            calls.turn = None;
            calls.served > 0 || calls.kept.is_some()
        });
    }

    fn serve_at_once(self: &Arc<Self>, state: &mut State, caller: &Caller) -> Option<Turn> {
        match state.lines.get(&caller.line) {
            // Nobody overtakes those who wait in the line, or at a lock.
            Some(calls) if calls.kept.map_or(!calls.waiting.is_empty(), |kept| kept != caller.place) => None,
            _ => self.serve(state, &caller.line, caller.waits_at_lock()),
        }
    }

    /// A turn for a line, if a connection is free for it and the line has not as many as it may.
    fn serve(self: &Arc<Self>, state: &mut State, line: &Arc<Line>, at_lock: bool) -> Option<Turn> {
        let served = state.lines.get(line).map_or(0, |calls| calls.served);
        let is_full = state.free == 0 || at_lock && state.at_locks >= self.most_at_locks;
        if is_full || served >= line.most(self.connections) {
            return None;
        }
        state.free -= 1;
        state.at_locks += usize::from(at_lock);
        state.lines.entry(Arc::clone(line)).or_default().served += 1;
        Some(Turn(Some((Arc::clone(self), Arc::clone(line), at_lock))))
    }

    /// Keeps a line for a call that waits at a lock, or no longer.
    fn keep(self: &Arc<Self>, caller: &Caller, kept: bool) {
        let mut state = self.state();
        if let Some(calls) = state.lines.get_mut(&caller.line)
            && calls.kept.is_none_or(|place| place == caller.place)
        {
            calls.kept = kept.then_some(caller.place);
        }
        self.settle(&mut state, &caller.line);
        self.serve_ready(&mut state);
    }

    fn give_back(self: &Arc<Self>, line: &Arc<Line>, at_lock: bool) {
        let mut state = self.state();
        state.take_back(line, at_lock);
        self.settle(&mut state, line);
        self.serve_ready(&mut state);
    }

    /// Gives turns to those who wait for nothing but a free connection.
    fn serve_ready(self: &Arc<Self>, state: &mut State) {
        while state.free > 0
            && let Some((line, at_lock)) = state.next(self.most_at_locks)
        {
            let caller = state.lines.get_mut(&line).and_then(|calls| {
                calls.turn = None;
                let (place, _) = calls.next()?;
                calls.waiting.remove(&place)
            });
            if let Some((caller, _)) = caller
                && let Some(turn) = self.serve(state, &line, at_lock)
                && let Err(turn) = caller.send(turn)
            {
                // Its caller went away at this moment.
                turn.forget();
                state.take_back(&line, at_lock);
            }
            self.settle(state, &line);
        }
    }

    /// After a change of a line: whether it is ready, behind all that are, and whether it is known at all.
    fn settle(&self, state: &mut State, line: &Arc<Line>) {
        let Some(calls) = state.lines.get_mut(line) else {
            return;
        };
        let next = calls.next().map(|(_, at_lock)| at_lock);
        let ready = next.filter(|_| calls.served < line.most(self.connections));
        let turn = calls.turn.take();
        match turn {
            Some((turn, true)) => drop(state.ready_at_locks.remove(&turn)),
            Some((turn, false)) => drop(state.ready.remove(&turn)),
            None => {}
        }
        if let Some(at_lock) = ready {
            let turn = turn.map_or_else(|| state.turns + 1, |(turn, _)| turn);
            state.turns = state.turns.max(turn);
            calls.turn = Some((turn, at_lock));
            let ready = if at_lock { &mut state.ready_at_locks } else { &mut state.ready };
            ready.insert(turn, Arc::clone(line));
        } else if calls.waiting.is_empty() && calls.served == 0 && calls.kept.is_none() {
            state.lines.remove(line);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Calls {
    /// The place of the call that is to be served next, if it waits for that, and whether it waits at a lock.
    fn next(&self) -> Option<(u64, bool)> {
        match self.kept {
            Some(place) => self.waiting.get(&place).map(|(_, at_lock)| (place, *at_lock)),
            None => self.waiting.first_key_value().map(|(place, (_, at_lock))| (*place, *at_lock)),
        }
    }
}

impl State {
    /// The line whose turn it is, if there is a connection for it.
    fn next(&mut self, most_at_locks: usize) -> Option<(Arc<Line>, bool)> {
        let first = |ready: &BTreeMap<u64, Arc<Line>>| ready.first_key_value().map_or(u64::MAX, |(turn, _)| *turn);
        let at_lock = self.at_locks < most_at_locks && first(&self.ready_at_locks) < first(&self.ready);
        let ready = if at_lock { &mut self.ready_at_locks } else { &mut self.ready };
        ready.pop_first().map(|(_, line)| (line, at_lock))
    }

    fn take_back(&mut self, line: &Arc<Line>, at_lock: bool) {
        self.free += 1;
        self.at_locks -= usize::from(at_lock);
        if let Some(calls) = self.lines.get_mut(line) {
            calls.served -= 1;
        }
    }
}

impl Turn {
    /// Drops it without giving it back.
    fn forget(mut self) {
        self.0 = None;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some((turns, line, at_lock)) = self.0.take() {
            turns.give_back(&line, at_lock);
        }
    }
}

/// Leaves the line when it is dropped.
struct Waiting<'a> {
    turns: &'a Arc<Turns>,
    caller: &'a Caller,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.turns.state();
        if let Some(calls) = state.lines.get_mut(&self.caller.line) {
            calls.waiting.remove(&self.caller.place);
        }
        self.turns.settle(&mut state, &self.caller.line);
        // Whoever is first in the line now may not have to wait for a lock.
        self.turns.serve_ready(&mut state);
    }
}
