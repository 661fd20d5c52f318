//! What is remembered of an account that campaigns may be assembled from.

use crate::measure::short;
use weir_schemas::{AccountId, LinkKind, Member as Told, Tier, ValueHash, VerdictId};

/// A campaign's label: when the first of its members had evidence of its own and was linked with others, and
/// who that was. Of two labels the lesser wins, so that neither the order of records nor partitions matter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Label {
    /// Since when, in milliseconds; 0 for no campaign.
    pub(super) since_ms: i64,
    pub(super) first: AccountId,
}
persist_fields!(Label { since_ms, first });

/// A group of one shared value: those of its members that are alike are told the same least id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Group {
    kind: u8,
    pub(super) value: ValueHash,
    least: u32,
}
persist_fields!(Group { kind, value, least });

impl Group {
    /// What is shared.
    pub(super) fn kind(&self) -> LinkKind {
        LinkKind::ALL.get(usize::from(self.kind)).copied().unwrap_or_default()
    }
}

/// What a family of evidence says of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Evidence {
    /// Place in [`crate::detector::Family`].
    pub(super) family: u8,
    pub(super) millinats: i32,
}
persist_fields!(Evidence { family, millinats });

/// One account: some 280 bytes, 21 of them for each link.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) tenant: String,
    /// When it was last heard of.
    pub(super) clock_ms: i64,
    /// Since when it has evidence of its own; 0 while it has none.
    pub(super) since_ms: i64,
    /// Since when it is linked with others besides; 0 while it is not.
    linked_ms: i64,
    tier: u8,
    pub(super) millinats: i32,
    /// In millionths.
    pub(super) probability: u32,
    pub(super) requests: u32,
    pub(super) asks: u16,
    /// Its latest verdict; zeros before any.
    pub(super) verdict: VerdictId,
    pub(super) evidence: Vec<Evidence>,
    pub(super) links: Vec<Group>,
    /// The campaign that it was told to be a member of.
    pub(super) campaign: Label,
    /// The tier that was told of it.
    pub(super) told_tier: u8,
    /// The campaign that it joined or rose in, while that is left alone.
    pub(super) waits_for: Label,
}
persist_fields!(Member {
    tenant,
    clock_ms,
    since_ms,
    linked_ms,
    tier,
    millinats,
    probability,
    requests,
    asks,
    verdict,
    evidence,
    links,
    campaign,
    told_tier,
    waits_for
});

impl Member {
    /// What a record says, after what the records `before` it said of the same account.
    pub(super) fn of(told: &Told, before: Option<&Self>) -> Self {
        let link = |link: &weir_schemas::MemberLink| Group {
            kind: link.kind as u8,
            value: link.value,
            least: link.least as u32,
        };
        let evidence = |said: &weir_schemas::FamilyEvidence| {
            let family = crate::detector::FAMILIES.iter().find(|family| family.as_str() == said.family)?;
            Some(Evidence { family: *family as u8, millinats: said.millinats })
        };
        let nothing = Self::default();
        let before = before.unwrap_or(&nothing);
        let is_suspect = told.tier != Tier::Clear;
        let since = |holds: bool, before_ms: i64| match (holds, before_ms) {
            (false, _) => 0,
            (true, 0) => told.time_ms,
            (true, since_ms) => since_ms,
        };
        Self {
            tenant: told.tenant.clone(),
            clock_ms: told.time_ms.max(before.clock_ms),
            since_ms: since(is_suspect, before.since_ms),
            linked_ms: since(is_suspect && !told.links.is_empty(), before.linked_ms),
            tier: told.tier as u8,
            millinats: told.millinats,
            probability: (told.probability.clamp(0.0, 1.0) * 1e6) as u32,
            requests: u32::try_from(told.requests.max(0)).unwrap_or(u32::MAX),
            asks: told.asks as u16,
            verdict: told.verdict_id.unwrap_or(before.verdict),
            evidence: told.families.iter().filter_map(evidence).collect(),
            links: told.links.iter().take(crate::limits::CLUSTER_WORDS_MAX).map(link).collect(),
            campaign: before.campaign,
            told_tier: before.told_tier,
            waits_for: before.waits_for,
        }
    }

    /// How serious its own evidence is.
    pub(super) fn tier(&self) -> Tier {
        Tier::ALL.get(usize::from(self.tier)).copied().unwrap_or_default()
    }

    /// Whether it has evidence of its own, without which nobody is a member of anything.
    pub(super) fn has_evidence(&self) -> bool {
        self.since_ms != 0
    }

    /// Whether there is nothing to remember: neither evidence of its own nor company.
    pub(super) fn is_nobody(&self) -> bool {
        !self.has_evidence() && self.links.is_empty()
    }

    /// The label of a campaign that it would be the first of.
    pub(super) fn own_label(&self, account: AccountId) -> Label {
        Label { since_ms: self.linked_ms, first: account }
    }

    /// The campaign that it was told to be a member of, or else the one that it waits for.
    pub(super) fn home(&self) -> Label {
        if self.campaign == Label::default() { self.waits_for } else { self.campaign }
    }

    /// The groups that it is in: of each value the one that it was told of, and the one of those who were
    /// told of it.
    pub(super) fn groups(&self, account: AccountId) -> impl Iterator<Item = Group> {
        let own = short(&account.0);
        self.links.iter().flat_map(move |group| [*group, Group { least: own, ..*group }])
    }

    /// Whether a group is one of [those that it is in](Self::groups).
    pub(super) fn is_in(&self, account: AccountId, group: &Group) -> bool {
        let of_value = |link: &&Group| (link.kind, link.value) == (group.kind, group.value);
        let mut links = self.links.iter().filter(of_value);
        links.any(|link| link.least == group.least || short(&account.0) == group.least)
    }

    /// Whether campaigns are assembled from `other` as from this.
    pub(super) fn stands_as(&self, other: &Self) -> bool {
        (self.linked_ms, self.tier, &self.links) == (other.linked_ms, other.tier, &other.links)
    }

    /// Whether what was told of it in a campaign's records still holds.
    pub(super) fn is_told(&self, campaign: Label) -> bool {
        self.campaign == campaign && self.told_tier == self.tier
    }

    /// Remembers that it was told.
    pub(super) fn note_told(&mut self, campaign: Label) {
        (self.campaign, self.told_tier) = (campaign, self.tier);
    }
}
