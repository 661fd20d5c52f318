//! The roles that need keys, and which.

use std::fmt;

/// Who needs keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// `weir collect` and `weir import`.
    Collector,
    /// `weir enforce`.
    Enforcer,
    /// Whoever checks what was done: `weir audit verify`.
    Auditor,
    /// Whoever states what was done: `weir coverage`.
    Operator,
    /// `weir process`, which needs none.
    Processor,
}

impl Role {
    /// The roles that have a directory.
    pub const WITH_DIRECTORY: [Self; 4] = [Self::Enforcer, Self::Collector, Self::Auditor, Self::Operator];

    /// Name of its directory.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Collector => "collector",
            Self::Enforcer => "enforcer",
            Self::Auditor => "auditor",
            Self::Operator => "operator",
            Self::Processor => "processor",
        }
    }

    /// What the names of secrets begin with that it needs.
    pub const fn secrets(self) -> &'static [&'static str] {
        match self {
            Self::Collector => &["pseudonym-"],
            Self::Enforcer => &["pseudonym-", "seal-", "audit-"],
            Self::Operator => &["sign"],
            Self::Auditor | Self::Processor => &[],
        }
    }

    pub const fn readme(self) -> &'static str {
        match self {
            Self::Collector => {
                "Keys of the role `collector`: `weir collect`, `weir import` and `weir decide`, on every gateway node.\n\n\
                 pseudonym-0.key  secret. Makes pseudonyms; with it one can try out which pseudonym an id has.\n\
                 seal-1.pub       public. Seals raw ids for the enforcer; it opens nothing.\n\
                 sign.pub         public. Says whom the kill switch believes, for `weir decide`.\n\n\
                 Whoever takes this directory can write events and guess ids one by one. They can open no identity,\n\
                 put no customer in another's place, and forge no audit record.\n"
            }
            Self::Enforcer => {
                "Keys of the role `enforcer`: `weir enforce`, and nobody else.\n\n\
                 pseudonym-0.key  secret. Checks that an identity makes the pseudonym that it was announced for.\n\
                 seal-1.key       secret. Opens sealed identities, for actions that are to be carried out.\n\
                 audit-1.key      secret. Signs the audit chains.\n\
                 sign.pub         public. Says whom the kill switch believes.\n\n\
                 Whoever takes this directory can open every identity and sign audit records. Without it no\n\
                 pseudonym can be traced back: keep a copy in a safe place.\n"
            }
            Self::Auditor => {
                "Keys of the role `auditor`: `weir audit verify`, `weir coverage --check`.\n\n\
                 audit-1.pub  public. Verifies the audit chains.\n\
                 sign.pub     public. Verifies statements of coverage, and who the persons of the kill switch are.\n\n\
                 Nothing here is secret. Get it from somebody you trust: it decides what you believe.\n"
            }
            Self::Operator => {
                "Keys of the role `operator`: `weir coverage`, `weir kill-switch persons publish`, by hand.\n\n\
                 sign.key  secret. Signs statements of coverage, and who the persons of the kill switch are.\n\n\
                 Whoever takes this directory can sign statements, and say who may stop the enforcers. No running role\n\
                 needs it.\n"
            }
            Self::Processor => "",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
