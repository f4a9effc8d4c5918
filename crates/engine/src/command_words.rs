//! The words by which COMMAND and ACL speak of commands, as sets: how keys are used, categories.
//!
//! In the table they are constants; whoever asks compares bits. Texts are made of them only for
//! clients.

/// Declares a set of words: a constant for each word, in the order in which clients see them.
macro_rules! word_set {
    (
        $(#[$meta:meta])*
        $set:ident($repr:ty) { $($bit:literal $name:ident $word:literal, $doc:literal;)* }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
        pub struct $set($repr);

        impl $set {
            $(#[doc = $doc] pub const $name: $set = $set(1 << $bit);)*
            /// No word.
            pub const NONE: $set = $set(0);
            /// All words with their texts, in the order in which clients see them.
            pub const WORDS: &[($set, &str)] = &[$(($set::$name, $word)),*];

            /// The words of both.
            pub const fn or(self, other: $set) -> $set {
                $set(self.0 | other.0)
            }

            /// Whether all words of `other` are there.
            #[inline]
            pub const fn has(self, other: $set) -> bool {
                self.0 & other.0 == other.0
            }

            /// Whether there is no word.
            pub const fn is_none(self) -> bool {
                self.0 == 0
            }

            /// The texts of its words.
            pub fn words(self) -> impl Iterator<Item = &'static str> {
                $set::WORDS.iter().filter(move |(word, _)| self.has(*word)).map(|&(_, text)| text)
            }
        }
    };
}

word_set! {
    /// How a command uses a key: one of the first four, and what it does with the data.
    KeyUse(u16) {
        0 RO "RO", "Reads the value, and not always its data.";
        1 RW "RW", "Changes a value that may be there.";
        2 OW "OW", "Replaces the value, whatever it is.";
        3 RM "RM", "Removes the key.";
        4 ACCESS "access", "Answers data of the value, or copies it.";
        5 UPDATE "update", "Changes data of the value.";
        6 INSERT "insert", "Adds data to the value.";
        7 DELETE "delete", "Removes data from the value.";
        8 VARIABLE_FLAGS "variable_flags", "Depends on the arguments.";
    }
}

impl KeyUse {
    /// Reads data.
    pub(crate) const RO_ACCESS: KeyUse = KeyUse::RO.or(KeyUse::ACCESS);
    /// Reads and changes data.
    pub(crate) const RW_ACCESS: KeyUse = KeyUse::RW.or(KeyUse::ACCESS);
    /// Answers what it changes.
    pub(crate) const RW_ACCESS_UPDATE: KeyUse = KeyUse::RW_ACCESS.or(KeyUse::UPDATE);
    /// The same, as the arguments say.
    pub(crate) const RW_ACCESS_UPDATE_VARIABLE_FLAGS: KeyUse =
        KeyUse::RW_ACCESS_UPDATE.or(KeyUse::VARIABLE_FLAGS);
    /// Answers and adds.
    pub(crate) const RW_ACCESS_INSERT: KeyUse = KeyUse::RW_ACCESS.or(KeyUse::INSERT);
    /// Answers what it removes.
    pub(crate) const RW_ACCESS_DELETE: KeyUse = KeyUse::RW_ACCESS.or(KeyUse::DELETE);
    /// Changes data.
    pub(crate) const RW_UPDATE: KeyUse = KeyUse::RW.or(KeyUse::UPDATE);
    /// Adds data.
    pub(crate) const RW_INSERT: KeyUse = KeyUse::RW.or(KeyUse::INSERT);
    /// Removes data.
    pub(crate) const RW_DELETE: KeyUse = KeyUse::RW.or(KeyUse::DELETE);
    /// Replaces a value.
    pub(crate) const OW_UPDATE: KeyUse = KeyUse::OW.or(KeyUse::UPDATE);
    /// Makes a value.
    pub(crate) const OW_INSERT: KeyUse = KeyUse::OW.or(KeyUse::INSERT);
    /// Removes the key with its data.
    pub(crate) const RM_DELETE: KeyUse = KeyUse::RM.or(KeyUse::DELETE);
}

word_set! {
    /// ACL categories, in the order in which Redis lists them.
    Categories(u32) {
        0 KEYSPACE "@keyspace", "Keys, whatever they hold.";
        1 READ "@read", "Reads values.";
        2 WRITE "@write", "Writes values.";
        3 SET "@set", "Sets.";
        4 SORTEDSET "@sortedset", "Sorted sets.";
        5 LIST "@list", "Lists.";
        6 HASH "@hash", "Hashes.";
        7 STRING "@string", "Strings.";
        8 BITMAP "@bitmap", "Bits of strings.";
        9 HYPERLOGLOG "@hyperloglog", "Cardinality estimates.";
        10 GEO "@geo", "Positions on the earth.";
        11 STREAM "@stream", "Streams.";
        12 PUBSUB "@pubsub", "Publish/subscribe.";
        13 ADMIN "@admin", "Administration: clients hardly need it.";
        14 FAST "@fast", "Constant or logarithmic time.";
        15 SLOW "@slow", "All that is not fast.";
        16 BLOCKING "@blocking", "May make the client wait.";
        17 DANGEROUS "@dangerous", "May harm others.";
        18 CONNECTION "@connection", "The connection itself.";
        19 TRANSACTION "@transaction", "Transactions.";
        20 SCRIPTING "@scripting", "Scripts and functions.";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_in_the_order_in_which_clients_see_them() {
        let words = |key_use: KeyUse| key_use.words().collect::<Vec<_>>().join(" ");
        for (key_use, text) in [
            (KeyUse::RO, "RO"),
            (KeyUse::RW_ACCESS_UPDATE_VARIABLE_FLAGS, "RW access update variable_flags"),
            (KeyUse::RM_DELETE, "RM delete"),
            (KeyUse::NONE, ""),
        ] {
            assert_eq!(words(key_use), text);
        }
        let both = Categories::DANGEROUS.or(Categories::ADMIN);
        assert_eq!(both.words().collect::<Vec<_>>(), ["@admin", "@dangerous"]);
        assert!(both.has(Categories::ADMIN) && !both.has(Categories::READ) && !both.is_none());
    }
}
