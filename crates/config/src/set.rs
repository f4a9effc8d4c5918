//! CONFIG SET: several directives at once, all or none.

use crate::Config;
use crate::table::general::ProtectedAction;
use crate::table::{Directive, find};

/// The circumstances of a CONFIG SET: the moment and the client.
#[derive(Clone, Copy, Debug, Default)]
pub struct SetContext {
    /// The server is loading its data.
    pub loading: bool,
    /// The client is on the same machine (for `enable-protected-configs local`).
    pub local_client: bool,
}

/// Why a CONFIG SET was refused. The text is the error reply, without its `-`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    /// No directive has this name.
    #[error("ERR Unknown option or number of arguments for CONFIG SET - '{0}'")]
    Unknown(String),
    /// This directive cannot be set so, for the reason given. Also what the server answers when it
    /// cannot apply a value that was good by itself.
    #[error("ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}")]
    Refused {
        /// The directive, as it was spelled.
        name: String,
        /// The fault.
        reason: String,
    },
    /// This directive cannot be set while the server loads its data.
    #[error("LOADING Redis is loading the dataset in memory")]
    Loading,
}

impl Config {
    /// Sets directives by name, all or none, and gives those whose value has changed.
    pub fn set<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &mut self,
        pairs: &[(N, V)],
        context: SetContext,
    ) -> Result<Vec<&'static Directive>, SetError> {
        let named = self.settable(pairs.iter().map(|(name, _)| name.as_ref()), context)?;
        let mut changed_config = self.clone();
        for (directive, (name, value)) in named.iter().zip(pairs) {
            changed_config
                .set_one(directive, value.as_ref())
                .map_err(|reason| SetError::Refused { name: spelled(name.as_ref()), reason })?;
        }
        let changed =
            named.into_iter().filter(|directive| !directive.same(self, &changed_config)).collect();
        *self = changed_config;
        Ok(changed)
    }

    /// The directives with these names, if each may be set now; the first that may not is told.
    fn settable<'a>(
        &self,
        names: impl Iterator<Item = &'a [u8]>,
        context: SetContext,
    ) -> Result<Vec<&'static Directive>, SetError> {
        let mut found: Vec<&'static Directive> = Vec::new();
        for name in names {
            let directive = find(name).ok_or_else(|| SetError::Unknown(spelled(name)))?;
            let refused = |reason: &str| {
                Err(SetError::Refused { name: spelled(name), reason: reason.to_owned() })
            };
            if !directive.spec.mutable {
                return refused("can't set immutable config");
            }
            if directive.spec.protected && !self.protected_allowed(context) {
                return refused("can't set protected config");
            }
            if directive.spec.deny_loading && context.loading {
                return Err(SetError::Loading);
            }
            if found.iter().any(|known| std::ptr::eq(*known, directive)) {
                return refused("duplicate parameter");
            }
            found.push(directive);
        }
        Ok(found)
    }

    fn protected_allowed(&self, context: SetContext) -> bool {
        match self.general.enable_protected_configs {
            ProtectedAction::Yes => true,
            ProtectedAction::Local => context.local_client,
            ProtectedAction::No => false,
        }
    }

    fn set_one(&mut self, directive: &Directive, value: &[u8]) -> Result<(), String> {
        let args: Vec<Vec<u8>> = if !directive.spec.kind.takes_list() {
            vec![value.to_vec()]
        } else if value.is_empty() {
            Vec::new()
        } else {
            // Split at each blank without any quoting, as Redis does.
            value.split(|&byte| byte == b' ').map(<[u8]>::to_vec).collect()
        };
        if directive.name == "save" {
            self.persistence.save.0.clear();
        }
        directive.parse(self, &args)?;
        directive.check_protection(self)?;
        if directive.name == "hz" {
            self.general.hz = self.general.hz.clamp(1, 500);
        }
        Ok(())
    }
}

fn spelled(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(pairs: &[(&str, &str)]) -> String {
        let mut config = Config::default();
        let error = config.set(pairs, SetContext::default()).expect_err("refused");
        assert_eq!(config, Config::default(), "nothing is set when anything is refused");
        error.to_string()
    }

    #[test]
    fn errors_are_those_of_redis() {
        let failed = |name: &str, reason: &str| {
            format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}")
        };
        let integer = "argument couldn't be parsed into an integer";
        let range = "argument must be between 0 and 2147483647 inclusive";
        assert_eq!(
            error(&[("nonsense", "1")]),
            "ERR Unknown option or number of arguments for CONFIG SET - 'nonsense'"
        );
        assert_eq!(error(&[("timeout", "x")]), failed("timeout", integer));
        assert_eq!(error(&[("timeout", "-1")]), failed("timeout", range));
        assert_eq!(error(&[("hz", "20"), ("timeout", "x")]), failed("timeout", integer));
        let immutable = "can't set immutable config";
        assert_eq!(error(&[("databases", "2")]), failed("databases", immutable));
        assert_eq!(error(&[("dir", "/")]), failed("dir", "can't set protected config"));
        let twice = [("timeout", "1"), ("TIMEOUT", "2")];
        assert_eq!(error(&twice), failed("TIMEOUT", "duplicate parameter"));
        // The first that is wrong is told.
        assert_eq!(error(&[("databases", "2"), ("nonsense", "1")]), failed("databases", immutable));
    }

    #[test]
    fn what_has_changed_is_reported() {
        let mut config = Config::default();
        let changed = config
            .set(&[("timeout", "5"), ("maxclients", "10000")], SetContext::default())
            .expect("both are good");
        let names: Vec<&str> = changed.iter().map(|directive| directive.name).collect();
        assert_eq!(names, ["timeout"]);
        assert_eq!(config.network.timeout, 5);
    }

    #[test]
    fn lists_are_replaced_or_cleared() {
        let mut config = Config::default();
        config.set(&[("bind", "::1 10.0.0.1")], SetContext::default()).expect("good");
        assert_eq!(config.get(&["bind"])[0].1, b"::1 10.0.0.1");
        config.set(&[("save", ""), ("bind", "")], SetContext::default()).expect("good");
        assert_eq!(
            config.get(&["save", "bind"]),
            [("save".to_owned(), Vec::new()), ("bind".to_owned(), Vec::new())]
        );
    }

    #[test]
    fn what_this_version_does_not_have_cannot_be_switched_on() {
        for (name, value) in
            [("tls-port", "6380"), ("tls-replication", "yes"), ("tls-cluster", "yes")]
        {
            let told = error(&[(name, value)]);
            assert!(told.contains("not available in this version"), "{name}: {told}");
            let before = Config::default().get(&[name]);
            let same = String::from_utf8(before[0].1.clone()).expect("text");
            let kept = Config::default().set(&[(name, same.as_str())], SetContext::default());
            assert!(kept.is_ok(), "{name}: what CONFIG GET shows may be set");
        }
    }

    #[test]
    fn what_asks_for_data_on_disk_is_taken_and_not_shown() {
        let context = SetContext::default();
        for (name, value, shown) in [("save", "10 1", ""), ("appendonly", "yes", "no")] {
            let mut config = Config::default();
            let changed = config.set(&[(name, value)], context).expect("it is accepted");
            assert!(changed.iter().all(|directive| directive.wants_storage()), "{name}");
            assert_eq!(config.get(&[name])[0].1, shown.as_bytes(), "{name}");
        }
    }

    #[test]
    fn protected_and_loading() {
        let mut config = Config::default();
        config.general.enable_protected_configs = ProtectedAction::Local;
        let local = SetContext { local_client: true, ..SetContext::default() };
        assert!(config.set(&[("dbfilename", "x.rdb")], local).is_ok());
        assert!(config.set(&[("dbfilename", "y.rdb")], SetContext::default()).is_err());
        let loading = SetContext { loading: true, ..SetContext::default() };
        assert_eq!(config.set(&[("appendonly", "no")], loading).unwrap_err(), SetError::Loading);
        assert!(config.set(&[("timeout", "9")], loading).is_ok());
    }
}
