//! Which bodies may go now: every rule and every hold, asked about every record that one of them may be about.

use std::ops::{ControlFlow, Range};
use std::time::Duration;

use indelible_core::query::{Key, Moment, Query, Term, Value};
use indelible_core::{StreamId, Timestamp};
use serde::Serialize;
use serde_json::value::RawValue;

use super::hold::{Hold, clock_at};
use super::ledger::Ledger;
use super::record::ACTIONS;
use super::rule::{Rule, Since};
use super::{DAY, RetentionError};
use crate::index::Facts;
use crate::ranges::LeafRanges;
use crate::search::{Judge, SearchError, Selector, sweep};
use crate::trail::{FileState, Reader, StoredLeaf, TrailFile};

/// The most ranges of one batch: the event that announces it names them.
const BATCH_RANGES_MAX: usize = 16_384;
/// What tells the end of an event in doubt, and quotes its body.
const RESOLVING: &str = "kind:audit action:audit.resolve";

/// What one rule would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct RulePlan {
    pub(crate) name: String,
    pub(crate) r#match: String,
    /// Days that it keeps; without end when absent.
    pub(crate) days: Option<u32>,
    pub(crate) floor_days: u32,
    /// Events that a run would erase.
    pub(crate) eligible: u64,
    /// Bytes of their bodies.
    pub(crate) bytes: u64,
    /// When the oldest of them happened, or was received where the rule counts from then.
    pub(crate) oldest: Option<String>,
    /// How many of them lie in a file that is not sealed yet; a run seals it first.
    pub(crate) unsealed: u64,
    /// Events that would go if no hold kept them.
    pub(crate) held: u64,
    /// Events that are old enough for this rule, and another rule keeps.
    pub(crate) kept_by_others: u64,
}

/// What a run would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Plan {
    pub(crate) rules: Vec<RulePlan>,
    /// Events that an interrupted run announced and did not erase, or that came back with a restored file.
    pub(crate) unfinished: u64,
    /// How many records each hold in force keeps from a rule.
    pub(crate) holds: Vec<HoldPlan>,
    /// Whether the time was up before the end, so that there may be more of everything.
    pub(crate) partial: bool,
}

/// What one hold keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct HoldPlan {
    pub(crate) name: String,
    pub(crate) query: String,
    pub(crate) held: u64,
}

impl Plan {
    /// Events that a run would erase.
    pub(crate) fn eligible(&self) -> u64 {
        self.rules.iter().map(|rule| rule.eligible).sum()
    }

    /// The time of the oldest event that a run would erase.
    pub(crate) fn oldest(&self) -> Option<&str> {
        self.rules.iter().filter_map(|rule| rule.oldest.as_deref()).min()
    }
}

/// Events of one file that go together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Batch {
    /// The first leaf of the file.
    pub(crate) first_index: u64,
    pub(crate) leaves: LeafRanges,
    /// Bytes of their bodies.
    pub(crate) bytes: u64,
    /// How many go by each rule, in the order of the rules.
    pub(crate) by_rule: Vec<u64>,
}

/// What is to become of one record.
enum Fate {
    /// No rule lets it go, or not yet.
    Stays,
    /// It is old enough for this rule, and not for another one.
    Kept(usize),
    /// This rule lets it go, and this hold does not.
    Held(usize, usize),
    /// It goes by this rule. The time counts from which the rule goes by.
    Goes(usize, i64),
}

/// Rules and holds at a moment.
pub(super) struct Judgement<'a> {
    rules: &'a [Rule],
    selectors: Vec<Selector>,
    /// The same for rules that let go, of what is old enough for them.
    due: Vec<Selector>,
    holds: Vec<(&'a Hold, Selector)>,
    resolving: Selector,
    now: i64,
}

impl<'a> Judgement<'a> {
    /// Resolves rules and holds.
    ///
    /// # Errors
    /// - [`SearchError::Time`], [`SearchError::EmptyRange`], [`SearchError::WideRange`]: a query makes no sense at this time.
    pub(super) fn new(rules: &'a [Rule], ledger: &'a Ledger, now: Timestamp) -> Result<Self, SearchError> {
        let clock = clock_at(now);
        let selectors = rules.iter().map(|rule| Selector::new(&rule.query, &clock)).collect::<Result<_, _>>()?;
        let due = rules.iter().filter_map(|rule| due(rule, now)).map(|query| Selector::new(&query, &clock)).collect::<Result<_, _>>()?;
        let holds = ledger.holds().map(|hold| Ok((hold, hold.selector()?))).collect::<Result<_, SearchError>>()?;
        let resolving = RESOLVING.parse().expect("a query that is written here");
        Ok(Self { rules, selectors, due, holds, resolving: Selector::new(&resolving, &clock)?, now: now.micros() })
    }

    /// Calls back with each record of a range that some rule lets go or would let go.
    fn each(
        &self,
        reader: &Reader,
        within: &Range<u64>,
        deadline: Option<Duration>,
        mut each: impl FnMut(Fate, &StoredLeaf) -> ControlFlow<()>,
    ) -> Result<bool, SearchError> {
        sweep(reader, within, self.due.iter().chain([&self.resolving]), deadline, |judge, leaf| Ok(each(self.fate(judge, &leaf)?, &leaf)))
    }

    fn fate(&self, judge: &mut Judge<'_, '_>, leaf: &StoredLeaf) -> Result<Fate, SearchError> {
        if leaf.is_erased() || is_about_retention(leaf) {
            return Ok(Fate::Stays);
        }
        let quoted = quoted(leaf);
        let told = quoted.as_ref().unwrap_or(leaf);
        let (mut ends, mut past): (Option<(i64, usize, i64)>, Option<usize>) = (None, None);
        let mut stays = false;
        for (place, (rule, selector)) in self.rules.iter().zip(&self.selectors).enumerate() {
            if !(judge.holds(selector, told)? || (quoted.is_some() && judge.holds(selector, leaf)?)) {
                continue;
            }
            let Some((end, since)) = end_of(rule, told) else {
                stays = true;
                continue;
            };
            if end <= self.now {
                past.get_or_insert(place);
            }
            // The rule that keeps longest decides.
            if ends.is_none_or(|(latest, ..)| end > latest) {
                ends = Some((end, place, since));
            }
        }
        match (ends, past) {
            (Some((end, place, since)), _) if !stays && end <= self.now => {
                let hold = self.hold_of(judge, leaf, told)?;
                Ok(hold.map_or(Fate::Goes(place, since), |hold| Fate::Held(place, hold)))
            }
            (_, Some(past)) => Ok(Fate::Kept(past)),
            _ => Ok(Fate::Stays),
        }
    }

    fn hold_of(&self, judge: &mut Judge<'_, '_>, leaf: &StoredLeaf, told: &StoredLeaf) -> Result<Option<usize>, SearchError> {
        for (place, (_, selector)) in self.holds.iter().enumerate() {
            if judge.holds(selector, told)? || judge.holds(selector, leaf)? {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    /// The next events of a file that may go, at most `most`.
    pub(super) fn next(&self, reader: &Reader, file: &Range<u64>, most: u64) -> Result<Batch, SearchError> {
        let mut batch = Batch { first_index: file.start, by_rule: vec![0; self.rules.len()], ..Batch::default() };
        self.each(reader, file, None, |fate, leaf| {
            let Fate::Goes(rule, _) = fate else { return ControlFlow::Continue(()) };
            batch.leaves.push(leaf.leaf_index);
            batch.bytes += leaf.body.len() as u64;
            batch.by_rule[rule] += 1;
            let is_full = batch.leaves.len() >= most || batch.leaves.ranges().len() >= BATCH_RANGES_MAX;
            if is_full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        Ok(batch)
    }

    /// Whether some event of a range may go.
    pub(super) fn any(&self, reader: &Reader, within: &Range<u64>) -> Result<bool, SearchError> {
        Ok(!self.next(reader, within, 1)?.leaves.is_empty())
    }

    /// Those of the announced leaves of a file whose bodies are there and which no hold keeps, at most `most`.
    pub(super) fn left_over(&self, reader: &Reader, file: &TrailFile, announced: &LeafRanges, most: u64) -> Result<Batch, RetentionError> {
        let range = file.range();
        let mut batch = Batch { first_index: range.start, by_rule: vec![0; self.rules.len()], ..Batch::default() };
        let announced = announced.within(&range.into());
        if announced.is_empty() {
            return Ok(batch);
        }
        // Holds may be about anything, so each of these records is looked at.
        let everything = Selector::new(&Query::default(), &clock_at(Timestamp::from_micros(self.now)))?;
        for part in announced.within(&file.with_bodies()?).ranges() {
            sweep(reader, part, std::iter::once(&everything), None, |judge, leaf| {
                let told = quoted(&leaf);
                if !leaf.is_erased() && self.hold_of(judge, &leaf, told.as_ref().unwrap_or(&leaf))?.is_none() {
                    batch.leaves.push(leaf.leaf_index);
                    batch.bytes += leaf.body.len() as u64;
                }
                let is_full = batch.leaves.len() >= most || batch.leaves.ranges().len() >= BATCH_RANGES_MAX;
                Ok(if is_full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })?;
            if batch.leaves.len() >= most || batch.leaves.ranges().len() >= BATCH_RANGES_MAX {
                break;
            }
        }
        Ok(batch)
    }
}

/// Says what a run would do now, and changes nothing.
///
/// `deadline`: after so long, what was found until then is the plan; without one it is complete.
///
/// # Errors
/// - [`RetentionError::Search`], [`RetentionError::Trail`]: the trail cannot be read, or a query makes no sense at this time.
pub(crate) fn plan(reader: &Reader, rules: &[Rule], now: Timestamp, deadline: Option<Duration>) -> Result<Plan, RetentionError> {
    let ledger = Ledger::read(reader)?;
    let judgement = Judgement::new(rules, &ledger, now)?;
    let mut held = vec![0; judgement.holds.len()];
    let mut of_rules: Vec<(RulePlan, Option<i64>)> = rules.iter().map(|rule| (RulePlan::of(rule), None)).collect();
    let is_sealed: Vec<_> = reader.files().iter().map(|file| (file.range(), file.state() == FileState::Sealed)).collect();
    let sealed_up_to = is_sealed.iter().take_while(|(_, sealed)| *sealed).last().map_or(0, |(range, _)| range.end);
    let complete = judgement.each(reader, &(0..reader.tree_size()), deadline, |fate, leaf| {
        match fate {
            Fate::Stays => {}
            Fate::Kept(rule) => of_rules[rule].0.kept_by_others += 1,
            Fate::Held(rule, hold) => {
                of_rules[rule].0.held += 1;
                held[hold] += 1;
            }
            Fate::Goes(rule, since) => {
                let (plan, oldest) = &mut of_rules[rule];
                plan.eligible += 1;
                plan.bytes += leaf.body.len() as u64;
                plan.unsealed += u64::from(leaf.leaf_index >= sealed_up_to);
                *oldest = Some(oldest.map_or(since, |oldest: i64| oldest.min(since)));
            }
        }
        ControlFlow::Continue(())
    })?;
    let announced = ledger.permits.announced(reader.tree_size());
    let unfinished = unfinished(reader, &judgement, &announced)?;
    let rules = of_rules.into_iter().map(|(plan, oldest)| RulePlan { oldest: oldest.map(time), ..plan });
    let holds = judgement.holds.iter().zip(held);
    let holds = holds.map(|((hold, _), held)| HoldPlan { name: hold.name.clone(), query: hold.query.clone(), held }).collect();
    Ok(Plan { rules: rules.collect(), unfinished, holds, partial: !complete })
}

fn unfinished(reader: &Reader, judgement: &Judgement<'_>, announced: &LeafRanges) -> Result<u64, RetentionError> {
    let mut count = 0;
    for file in reader.files().iter().filter(|file| announced.touches(&file.range())) {
        count += judgement.left_over(reader, file, announced, u64::MAX)?.leaves.len();
    }
    Ok(count)
}

impl RulePlan {
    fn of(rule: &Rule) -> Self {
        let (name, r#match) = (rule.name.clone(), rule.query.to_string());
        Self { name, r#match, days: rule.days, floor_days: rule.floor_days, ..Self::default() }
    }
}

fn time(micros: i64) -> String {
    Timestamp::from_micros(micros).to_string()
}

/// What is old enough for a rule; nothing for a rule without end.
fn due(rule: &Rule, now: Timestamp) -> Option<Query> {
    let until = Timestamp::from_micros(now.micros().saturating_sub(i64::from(rule.days?) * DAY));
    let key = match rule.since {
        Since::Occurred => Key::Created,
        Since::Received => Key::Received,
    };
    Some(rule.query.clone().and(Term::new(key, vec![Value::Time(indelible_core::query::Range::UpTo(Moment::Instant(until)))])))
}

/// When a rule lets a record go, and the time from which it counts; nothing for a rule without end.
fn end_of(rule: &Rule, leaf: &StoredLeaf) -> Option<(i64, i64)> {
    let since = match rule.since {
        Since::Occurred => Facts::read(&leaf.entry, &leaf.body).occurred_at(),
        Since::Received => leaf.entry.received_at.micros(),
    };
    Some((since.saturating_add(i64::from(rule.days?) * DAY), since))
}

/// What all others are judged by is never erased.
fn is_about_retention(leaf: &StoredLeaf) -> bool {
    let action = Facts::read(&leaf.entry, &leaf.body).body.action;
    leaf.entry.stream == StreamId::AGENT && action.is_some_and(|action| ACTIONS.contains(&action.as_str()))
}

/// Whether a record, or the one whose body it quotes, satisfies a query.
pub(super) fn matches(judge: &mut Judge<'_, '_>, selector: &Selector, leaf: &StoredLeaf) -> Result<bool, SearchError> {
    Ok(judge.holds(selector, leaf)? || quoted(leaf).is_some_and(|told| judge.holds(selector, &told).unwrap_or(true)))
}

#[derive(serde::Deserialize)]
struct Resolving<'a> {
    #[serde(borrow)]
    action: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    meta: Quoting<'a>,
}

#[derive(serde::Deserialize)]
struct Quoting<'a> {
    #[serde(borrow)]
    body: &'a RawValue,
}

/// The event in doubt that an `audit.resolve` quotes: where that one goes, its copy must go, too.
fn quoted(leaf: &StoredLeaf) -> Option<StoredLeaf> {
    if leaf.entry.stream != StreamId::AGENT {
        return None;
    }
    let resolving: Resolving<'_> = serde_json::from_slice(&leaf.body).ok()?;
    (resolving.action == "audit.resolve").then(|| StoredLeaf { body: resolving.meta.body.get().as_bytes().to_vec(), ..leaf.clone() })
}
