//! `[[retention]]`: from keys to rules, and what no rule may say.

use std::collections::HashMap;

use super::error::Mistake;
use super::read::Section;
use super::spec::RULES_MAX;
use crate::retention::{Rule, Since, class_days};

pub(super) fn rule(section: &Section) -> Rule {
    let text = |name| section.text(name).unwrap_or_default();
    let days = |name| section.number(name).map(|days| u32::try_from(days).unwrap_or(u32::MAX));
    Rule {
        name: text("name").to_owned(),
        // A text that is no query was a mistake, and this is not reached.
        query: text("match").parse().unwrap_or_default(),
        days: days("days"),
        floor_days: days("floor_days").unwrap_or_default().max(class_days(text("class"))),
        since: if text("since") == "received" { Since::Received } else { Since::Occurred },
    }
}

/// What is wrong between keys that are right one by one.
pub(super) fn conflicts(sections: &[Section], rules: &[Rule]) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    let mut names = HashMap::new();
    for (index, (section, rule)) in sections.iter().zip(rules).enumerate() {
        if let Some(before) = names.insert(&rule.name, section.place.0) {
            mistakes.push(section.mistake(format!("the same name as the rule in line {before}"), "a name belongs to one rule"));
        }
        if let Some(days) = rule.days.filter(|days| *days < rule.floor_days) {
            let class = section.text("class").filter(|class| class_days(class) == rule.floor_days && rule.floor_days > 0);
            let whose = class.map_or_else(|| "of `floor_days`".to_owned(), |class| format!("of the class `{class}`"));
            let said = format!("the rule `{}` keeps {days} days, which is below the floor {whose}, {} days", rule.name, rule.floor_days);
            mistakes.push(section.mistake(said, "raise `days`; nothing was erased"));
        }
        if index == RULES_MAX {
            mistakes.push(section.mistake(format!("more than {RULES_MAX} rules"), "join some: a query may have several values and OR"));
        }
    }
    mistakes
}
