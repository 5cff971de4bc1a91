use std::collections::HashMap;

use futures::FutureExt;
use futures::future::BoxFuture;
use ironclaw_core::id::{TenantId, UserId};
use tokio_util::sync::CancellationToken;

use super::*;

fn user(name: &str) -> Whose {
    Whose::User(TenantId::default_tenant(), UserId::parse(name).unwrap())
}

fn writer(name: &str) -> Caller {
    calling(user(name), true)
}

fn reader(name: &str) -> Caller {
    calling(user(name), false)
}

fn calling(whose: Whose, writes: bool) -> Caller {
    Caller::new(whose, writes, CancellationToken::new())
}

/// Asks, which puts a call into its line.
async fn ask<'a>(turns: &'a Arc<Turns>, caller: &'a Caller) -> Asked<'a> {
    let mut asked: Asked<'a> = turns.take(caller).boxed();
    assert!((&mut asked).now_or_never().is_none(), "it has to wait");
    asked
}

type Asked<'a> = BoxFuture<'a, Option<Turn>>;

fn served(asked: Asked<'_>) -> Option<Turn> {
    asked.now_or_never().map(|turn| turn.expect("there are turns"))
}

fn is_as_new(turns: &Turns) -> bool {
    let state = turns.state();
    let is_nobody_ready = state.ready.is_empty() && state.ready_at_locks.is_empty();
    state.free == turns.connections && state.at_locks == 0 && state.lines.is_empty() && is_nobody_ready
}

#[tokio::test]
async fn one_writer_of_a_user_at_a_time_in_the_order_of_asking() {
    let turns = Turns::new(10, false);
    let callers = [writer("ada"), writer("ada"), writer("ada")];
    let first = turns.take(&callers[0]).await.unwrap();
    // Asked in another order than they were made, as after an attempt that was lost.
    let third = ask(&turns, &callers[2]).await;
    let second = ask(&turns, &callers[1]).await;
    assert!(turns.try_take(&writer("bob")).is_some());
    assert_eq!(turns.awaited(&callers[1]), Awaited::OwnCalls);
    assert_eq!(turns.awaited(&reader("ada")), Awaited::Connection);
    drop(first);
    let second = served(second).expect("it came first");
    let mut third = third;
    assert!((&mut third).now_or_never().is_none());
    drop(second);
    drop(served(third).expect("its turn"));
    assert!(is_as_new(&turns));
}

#[tokio::test]
async fn readers_of_one_leave_half_to_others() {
    for (connections, most) in [(1, 1), (2, 1), (3, 2), (10, 5)] {
        let turns = Turns::new(connections, false);
        let taken: Vec<_> = (0..20).filter_map(|_| turns.try_take(&reader("ada"))).collect();
        assert_eq!(taken.len(), most);
        assert_eq!(turns.try_take(&reader("bob")).is_some(), connections > 1);
        drop(taken);
        assert!(is_as_new(&turns));
    }
}

#[tokio::test]
async fn lines_take_turns_however_long_they_are() {
    let turns = Turns::new(2, false);
    let taken = [turns.take(&reader("a")).await.unwrap(), turns.take(&reader("b")).await.unwrap()];
    let many: Vec<_> = (0..100).map(|_| reader("ada")).collect();
    let bob = [reader("bob"), writer("bob")];
    let mut asked = Vec::new();
    for caller in &many {
        asked.push(ask(&turns, caller).await);
    }
    let reading = ask(&turns, &bob[0]).await;
    let writing = ask(&turns, &bob[1]).await;
    let mut taken = taken.into_iter();
    drop(taken.next());
    let adas = served(asked.remove(0)).expect("she asked first");
    drop(taken.next());
    let bobs = served(reading).expect("his turn comes before her second");
    drop(adas);
    let written = served(writing).expect("and so does his other line's");
    drop((bobs, written));
    assert!(served(asked.remove(0)).is_some());
    drop(asked);
    assert!(is_as_new(&turns));
}

#[tokio::test]
async fn who_waits_at_locks_leaves_most_connections_to_others() {
    for (connections, most) in [(1, 1), (2, 1), (4, 1), (5, 2), (10, 3)] {
        let turns = Turns::new(connections, false);
        let held: Vec<_> = (0..20).map(|number| writer(&format!("held {number}"))).collect();
        held.iter().for_each(Caller::wait_at_lock);
        let taken: Vec<_> = held.iter().filter_map(|caller| turns.try_take(caller)).collect();
        assert_eq!(taken.len(), most);
        let waits = ask(&turns, &held[most]).await;
        let others: Vec<_> = (0..20).filter_map(|number| turns.try_take(&writer(&format!("other {number}")))).collect();
        assert_eq!(others.len(), connections as usize - most);
        drop(others);
        let mut waits = waits;
        assert!((&mut waits).now_or_never().is_none(), "connections are free, but not for it");
        drop(taken);
        drop(served(waits).expect("its turn"));
        assert!(is_as_new(&turns));
    }
}

#[tokio::test]
async fn nobody_overtakes_who_waits_at_a_lock_in_their_line() {
    let turns = Turns::new(4, false);
    let (first, second, other) = (writer("ada"), writer("ada"), writer("bob"));
    [&first, &other].into_iter().for_each(Caller::wait_at_lock);
    let taken = turns.take(&other).await.unwrap();
    let first = ask(&turns, &first).await;
    let mut second = ask(&turns, &second).await;
    drop(taken);
    let first = served(first).expect("its turn");
    assert!((&mut second).now_or_never().is_none());
    drop(first);
    drop(served(second).expect("its turn"));
    assert!(is_as_new(&turns));
}

#[tokio::test]
async fn whoever_waits_at_a_lock_stays_first_in_the_line() {
    let turns = Turns::new(4, false);
    let (second, other) = (writer("ada"), writer("bob"));
    let first = writer("ada");
    let taken = turns.take(&first).await.unwrap();
    let mut waiting = ask(&turns, &second).await;
    // It finds the row locked, and gives its connection back before it asks for another.
    first.wait_at_lock();
    drop(taken);
    assert!((&mut waiting).now_or_never().is_none(), "the row is locked for the second as well");
    assert!(turns.try_take(&other).is_some());
    let again = turns.take(&first).await.unwrap();
    drop(again);
    assert!((&mut waiting).now_or_never().is_none());
    drop(first);
    drop(served(waiting).expect("the first is done"));
    assert!(is_as_new(&turns));
}

#[tokio::test]
async fn what_is_waited_for_is_named_as_it_is() {
    let turns = Turns::new(4, false);
    let (first, second, other) = (writer("ada"), writer("ada"), writer("bob"));
    let taken = turns.take(&first).await.unwrap();
    let waiting = ask(&turns, &second).await;
    first.wait_at_lock();
    drop(taken);
    // The first has no connection right now, and all are free.
    assert_eq!(turns.awaited(&second), Awaited::OwnCalls);
    other.wait_at_lock();
    let taken = turns.take(&other).await.unwrap();
    let again = ask(&turns, &first).await;
    assert_eq!(turns.awaited(&first), Awaited::Lock);
    drop((waiting, again, taken));
    drop((first, other));

    let taken: Vec<_> = (0..4).filter_map(|number| turns.try_take(&writer(&format!("{number}")))).collect();
    let waiting = [ask(&turns, &second).await];
    assert_eq!(turns.awaited(&second), Awaited::Connection);
    drop((waiting, taken));
    let operator = || calling(Whose::Everybody, false);
    let taken = [turns.try_take(&operator()), turns.try_take(&operator())];
    assert_eq!(turns.awaited(&operator()), Awaited::Alike);
    drop(taken);
    assert!(is_as_new(&turns));
}

#[tokio::test]
async fn however_many_wait_at_locks_each_has_a_turn_soon() {
    for (connections, is_pooled) in [(1, false), (4, false), (10, false), (10, true)] {
        let turns = Turns::new(connections, is_pooled);
        for waiting in [1, 2, 3, 10, 50, 100] {
            let callers: Vec<_> = (0..waiting).map(|number| writer(&format!("{number}"))).collect();
            callers.iter().for_each(Caller::wait_at_lock);
            let (mut taken, mut asked) = (Vec::new(), Vec::new());
            for caller in &callers {
                match turns.try_take(caller) {
                    Some(turn) => taken.push(turn),
                    None => asked.push(ask(&turns, caller).await),
                }
            }
            let share = turns.share_at_lock();
            let round = share * waiting / turns.most_at_locks as u32;
            assert!(round <= ROUND || share == LEAST, "{waiting} of {connections}: {share:?}");
            assert!(round >= ROUND / 2 || share == ROUND, "{waiting} of {connections}: {share:?}");
            drop((asked, taken));
        }
        assert!(is_as_new(&turns));
    }
}

#[tokio::test]
async fn behind_a_pooler_one_at_a_time_waits_at_a_lock() {
    let turns = Turns::new(40, true);
    let callers: Vec<_> = (0..10).map(|number| writer(&format!("{number}"))).collect();
    callers.iter().for_each(Caller::wait_at_lock);
    assert_eq!(callers.iter().filter_map(|caller| turns.try_take(caller)).collect::<Vec<_>>().len(), 1);
    assert!(turns.try_take(&writer("bob")).is_some());
}

#[tokio::test]
async fn a_lock_at_another_server_keeps_no_line() {
    let (first, second) = (Turns::new(4, false), Turns::new(4, false));
    let (ada, again) = (writer("ada"), writer("ada"));
    let taken = first.take(&ada).await.unwrap();
    ada.wait_at_lock();
    drop(taken);
    assert!(!is_as_new(&first));
    // The other server takes the writes now.
    let taken = second.take(&ada).await.unwrap();
    assert!(is_as_new(&first) && !ada.waits_at_lock());
    ada.wait_at_lock();
    drop(taken);
    assert!(second.try_take(&again).is_none(), "the line is kept where the row is locked");
    drop(ada);
    drop(second.try_take(&again).expect("its turn"));
    assert!(is_as_new(&first) && is_as_new(&second));
}

#[tokio::test]
async fn whoever_is_not_waited_for_has_no_turn() {
    let turns = Turns::new(4, false);
    let (ada, left) = (writer("ada"), CancellationToken::new());
    let gone = Caller::new(user("ada"), true, left.clone());
    let taken = turns.take(&ada).await.unwrap();
    let mut asked = gone.unless_left(turns.take(&gone)).boxed();
    assert!((&mut asked).now_or_never().is_none());
    let guard = left.drop_guard();
    // Its turn comes at the same moment.
    drop(taken);
    drop(guard);
    assert!(asked.await.is_none());
    assert!(is_as_new(&turns));
}

#[tokio::test]
async fn who_goes_away_leaves_nothing() {
    let turns = Turns::new(1, false);
    let (ada, bob) = (writer("ada"), writer("bob"));
    for after_its_turn in [false, true] {
        let taken = turns.take(&ada).await.unwrap();
        let asked = ask(&turns, &bob).await;
        if after_its_turn {
            drop(taken);
            drop(asked);
        } else {
            drop(asked);
            drop(taken);
        }
        assert!(is_as_new(&turns));
    }
}

#[tokio::test]
async fn there_are_no_turns_after_the_last() {
    let turns = Turns::new(1, false);
    let (ada, bob) = (writer("ada"), writer("bob"));
    let taken = turns.take(&ada).await.unwrap();
    let asked = ask(&turns, &bob).await;
    turns.close();
    assert!(asked.await.is_none());
    assert!(turns.take(&ada).await.is_none() && turns.try_take(&ada).is_none());
    drop(taken);
    assert!(is_as_new(&turns));
}

/// Whatever order calls come, go away and end in: no line has more than it may, no call waits while its turn could come, and
/// nothing is left.
#[test]
fn nothing_is_lost_in_any_order() {
    for seed in 1..200_u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut below = |limit: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % limit
        };
        let connections = 1 + below(5) as u32;
        let turns = Turns::new(connections, false);
        let callers: Vec<_> =
            (0..60).map(|_| calling(user(["ada", "bob", "eve"][below(3) as usize]), below(2) == 0)).collect();
        callers.iter().filter(|_| below(4) == 0).for_each(Caller::wait_at_lock);
        let mut waiting: HashMap<usize, Asked<'_>> = HashMap::new();
        let mut taken: HashMap<usize, Turn> = HashMap::new();
        let mut next = 0;
        while next < callers.len() || !waiting.is_empty() || !taken.is_empty() {
            match below(4) {
                0 | 1 if next < callers.len() => {
                    waiting.insert(next, turns.take(&callers[next]).boxed());
                    next += 1;
                }
                2 => drop(waiting.keys().min().copied().filter(|_| below(3) == 0).map(|at| waiting.remove(&at))),
                _ => drop(taken.keys().min().copied().map(|at| taken.remove(&at))),
            }
            // Those that were given a turn have it.
            let asked: Vec<_> = waiting.drain().collect();
            for (at, mut asked) in asked {
                match (&mut asked).now_or_never() {
                    Some(turn) => drop(taken.insert(at, turn.unwrap())),
                    None => drop(waiting.insert(at, asked)),
                }
            }
            let served = |line: &Arc<Line>| taken.keys().filter(|at| callers[**at].line == *line).count();
            assert!(taken.len() <= connections as usize);
            for caller in &callers {
                assert!(served(&caller.line) <= caller.line.most(connections as usize));
            }
            let at_locks = taken.keys().filter(|at| callers[**at].waits_at_lock()).count();
            assert!(at_locks <= turns.most_at_locks);
            for at in waiting.keys() {
                let line = &callers[*at].line;
                let first = waiting.keys().filter(|other| callers[**other].line == *line).min();
                let may = first == Some(at)
                    && served(line) < line.most(connections as usize)
                    && taken.len() < connections as usize
                    && (at_locks < turns.most_at_locks || !callers[*at].waits_at_lock());
                assert!(!may, "seed {seed}: call {at} of {} waits for nothing", callers.len());
            }
        }
        assert!(is_as_new(&turns), "seed {seed}");
    }
}
