//! Answers that one node finishes for another, which goes away meanwhile.

use bytes::Bytes;
use protocol::{JobId, JobOrder};
use simulator::world::{MS, Manner, S, World};
use std::time::Duration;
use swarm::{Event, JobFailure, PeerId, RequestId};

const HOUR: Duration = Duration::from_secs(3600);

fn job(number: u8) -> JobId {
    JobId([number; 16])
}

fn begin(what: &'static str) -> JobOrder {
    JobOrder::Begin(Bytes::from_static(what.as_bytes()))
}

/// Somebody who finishes up to so many answers, and somebody who has some to finish.
fn world(jobs: usize) -> (World, PeerId, PeerId) {
    let mut world = World::new(1, 1000);
    let finishes = world.join_with("finishes", &[0], |config| config.jobs = jobs);
    let asks = world.join("asks", &[]);
    world.run(S);
    (world, finishes, asks)
}

fn told(world: &mut World, who: &PeerId, job: JobId, progress: &'static str, over: bool) {
    let progress = Bytes::from_static(progress.as_bytes());
    let event = Event::JobTold {
        job,
        progress,
        over,
    };
    world.tell(who, event);
}

/// What comes of an order.
fn order(
    world: &mut World,
    who: &PeerId,
    peer: &PeerId,
    job: JobId,
    order: JobOrder,
) -> Result<Bytes, JobFailure> {
    let id = world.order_job(who, peer, job, order);
    assert!(world.run_until(20 * S, |world| {
        world.get(who).job_answers.contains_key(&id)
    }));
    world.get(who).job_answers[&id].clone()
}

#[test]
fn an_answer_is_finished_while_who_asked_is_away_and_had_by_who_comes_back() {
    let (mut world, finishes, asks) = world(8);
    let finishers = world.get(&asks).node.finishers();
    assert_eq!(finishers, std::slice::from_ref(&finishes));
    let question = begin("how long is a day");
    let begun = order(&mut world, &asks, &finishes, job(1), question);
    assert_eq!(begun, Ok(Bytes::new()));
    told(&mut world, &finishes, job(1), "as long", false);
    world.leave(&asks);
    world.run(HOUR);
    told(&mut world, &finishes, job(1), "as long as a night", true);
    // It has another name when it comes back, and knows no more than the answer's.
    let later = world.join("asks later", &[]);
    world.run(S);
    let looked = order(&mut world, &later, &finishes, job(1), JobOrder::Look);
    assert_eq!(looked, Ok(Bytes::from_static(b"as long as a night")));
    let nobodys = order(&mut world, &later, &finishes, job(2), JobOrder::Look);
    assert_eq!(nobodys, Err(JobFailure::Unknown));
    let dropped = order(&mut world, &later, &finishes, job(1), JobOrder::Drop);
    assert_eq!(dropped, Ok(Bytes::from_static(b"as long as a night")));
    let again = order(&mut world, &later, &finishes, job(1), JobOrder::Look);
    assert_eq!(again, Err(JobFailure::Unknown));
    assert_eq!(world.get(&finishes).jobs, [job(1)]);
}

#[test]
fn one_is_finished_at_a_time_everybodys_in_turn_and_who_waits_hears_how_long() {
    let (mut world, finishes, greedy) = world(8);
    let modest = world.join("modest", &[]);
    world.run(S);
    let _ = order(&mut world, &greedy, &finishes, job(0), begin("x"));
    world.run(10 * S);
    told(&mut world, &finishes, job(0), "y", true);
    let _ = order(&mut world, &greedy, &finishes, job(0), JobOrder::Drop);
    for number in 1..5 {
        let begun = order(&mut world, &greedy, &finishes, job(number), begin("x"));
        assert_eq!(begun, Ok(Bytes::new()));
    }
    let fifth = order(&mut world, &greedy, &finishes, job(5), begin("x"));
    assert_eq!(fifth, Err(JobFailure::Busy), "four are enough for one");
    let waits = world.order_job(&modest, &finishes, job(9), begin("x"));
    world.run(S);
    // It is its turn after the one under way, which is the other's.
    let queue = world.get(&modest).queued[&waits];
    assert_eq!(queue.before, 1);
    assert!(queue.wait > 9 * S && queue.wait < 12 * S, "{queue:?}");
    for number in [1, 9, 2, 3, 4] {
        told(&mut world, &finishes, job(number), "y", true);
    }
    assert_eq!(world.get(&finishes).jobs, [0, 1, 9, 2, 3, 4].map(job));
    let totals = world.get(&finishes).node.stats().totals;
    assert_eq!(totals.jobs_served, 6);
}

#[test]
fn what_is_not_wanted_any_more_is_not_finished() {
    let (mut world, finishes, asks) = world(8);
    for number in 1..4 {
        let _ = order(&mut world, &asks, &finishes, job(number), begin("x"));
    }
    // One that waits, and the one under way.
    for number in [2, 1] {
        let dropped = order(&mut world, &asks, &finishes, job(number), JobOrder::Drop);
        assert_eq!(dropped, Ok(Bytes::new()));
    }
    world.run(S);
    assert_eq!(world.get(&finishes).jobs, [job(1), job(3)]);
}

#[test]
fn there_is_an_end_to_what_lies_here() {
    let (mut world, finishes, first) = world(3);
    let all: Vec<_> = (0..4)
        .map(|number| world.join(&format!("asks {number}"), &[]))
        .collect();
    world.run(S);
    for number in 0..3 {
        let asks = &all[usize::from(number)];
        let begun = order(&mut world, asks, &finishes, job(number), begin("x"));
        assert_eq!(begun, Ok(Bytes::new()));
        told(&mut world, &finishes, job(number), "y", true);
        world.run(60 * S);
    }
    let full = order(&mut world, &first, &finishes, job(7), begin("x"));
    assert_eq!(full, Err(JobFailure::Busy));
    // After an hour what has been there for longest makes room.
    world.run(HOUR);
    let begun = order(&mut world, &first, &finishes, job(7), begin("x"));
    assert_eq!(begun, Ok(Bytes::new()));
    for (number, left) in [(0, false), (1, true), (2, true)] {
        let looked = order(&mut world, &first, &finishes, job(number), JobOrder::Look);
        assert_eq!(looked.is_ok(), left, "{number}");
    }
    // After a day nothing of it is left but what is not finished.
    world.run(25 * HOUR);
    let begun = order(&mut world, &all[3], &finishes, job(8), begin("x"));
    assert_eq!(begun, Ok(Bytes::new()));
    assert_eq!(world.get(&finishes).node.stats().jobs, 2);
    let long = JobOrder::Begin(Bytes::from(vec![0; 600 << 10]));
    let long = order(&mut world, &first, &finishes, job(9), long);
    assert!(matches!(long, Err(JobFailure::Lost(_))), "{long:?}");
}

#[test]
fn nothing_is_known_of_what_is_with_somebody_silent_or_gone_or_who_does_not_do_it() {
    let (mut world, finishes, asks) = world(3);
    let other = world.join("other", &[0]);
    world.run(S);
    let refused = order(&mut world, &asks, &other, job(1), begin("x"));
    assert_eq!(refused, Err(JobFailure::Unknown));
    let is_lost = |world: &mut World, id: RequestId| {
        let answer = world.get(&asks).job_answers.get(&id).cloned();
        answer.map(|answer| matches!(answer, Err(JobFailure::Lost(_))))
    };
    world.get(&finishes).manner = Manner::Silent;
    let silent = world.order_job(&asks, &finishes, job(1), begin("x"));
    world.run(9 * S);
    assert_eq!(is_lost(&mut world, silent), None);
    world.run(2 * S);
    assert_eq!(is_lost(&mut world, silent), Some(true));
    let gone = world.order_job(&asks, &finishes, job(1), JobOrder::Look);
    world.run(MS);
    world.leave(&finishes);
    assert_eq!(is_lost(&mut world, gone), Some(true));
    let nobody = world.order_job(&asks, &finishes, job(1), JobOrder::Look);
    assert_eq!(is_lost(&mut world, nobody), Some(true));
}
