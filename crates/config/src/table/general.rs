//! The process: databases, logging, scripts, access.

use super::{
    COUNT, Effect, FLAG, INT_MAX, LONG_COUNT, Spec, TEXT, checked, checks, choice, family, integer,
};
use crate::special::{OomScores, ShutdownOptions};
use crate::value::{Kind, choices};

choices! {
    /// How much the server logs.
    LogLevel {
        /// Everything, for development.
        Debug = "debug",
        /// Much that is rarely of use.
        Verbose = "verbose",
        /// Events that an operator wants to see.
        Notice = "notice",
        /// Only what is wrong.
        Warning = "warning",
        /// Nothing.
        Nothing = "nothing",
    }
}

choices! {
    /// The form of log lines.
    LogFormat {
        /// As Redis has always written them.
        Legacy = "legacy",
        /// `key=value` pairs.
        Logfmt = "logfmt",
    }
}

choices! {
    /// The form of times in the log.
    LogTimestampFormat {
        /// As Redis has always written them.
        Legacy = "legacy",
        /// ISO 8601.
        Iso8601 = "iso8601",
        /// Milliseconds since the epoch.
        Milliseconds = "milliseconds",
    }
}

choices! {
    /// The supervisor of the process.
    Supervised {
        /// Upstart.
        Upstart = "upstart",
        /// systemd, told through `NOTIFY_SOCKET`.
        Systemd = "systemd",
        /// Found out from the environment.
        Auto = "auto",
        /// Nobody.
        No = "no",
    }
}

choices! {
    /// The facility of syslog to use.
    SyslogFacility {
        /// LOG_USER.
        User = "user",
        /// LOG_LOCAL0.
        Local0 = "local0",
        /// LOG_LOCAL1.
        Local1 = "local1",
        /// LOG_LOCAL2.
        Local2 = "local2",
        /// LOG_LOCAL3.
        Local3 = "local3",
        /// LOG_LOCAL4.
        Local4 = "local4",
        /// LOG_LOCAL5.
        Local5 = "local5",
        /// LOG_LOCAL6.
        Local6 = "local6",
        /// LOG_LOCAL7.
        Local7 = "local7",
    }
}

choices! {
    /// Whom a dangerous action is allowed to.
    ProtectedAction {
        /// Nobody.
        No = "no",
        /// Everybody.
        Yes = "yes",
        /// Clients on the same machine.
        Local = "local",
    }
}

choices! {
    /// How the kernel's out-of-memory score is adjusted.
    OomScoreAdj {
        /// Not at all.
        No = "no",
        /// Added to the score at start.
        Relative = "yes" | "relative",
        /// Set as it stands.
        Absolute = "absolute",
    }
}

choices! {
    /// The channels that a new ACL user may use.
    AclPubsubDefault {
        /// All.
        AllChannels = "allchannels",
        /// None.
        ResetChannels = "resetchannels",
    }
}

choices! {
    /// The reaction when a replicated command fails.
    PropagationErrorBehavior {
        /// It is counted.
        Ignore = "ignore",
        /// The server aborts.
        Panic = "panic",
        /// A replica aborts.
        PanicOnReplicas = "panic-on-replicas",
    }
}

/// Why nothing may ask for users with rules.
pub(crate) const NO_ACL: &str =
    "ACLs are not available in this version: these rules would not be enforced";

family! {
    /// Process, databases, logging, scripts, access.
    General in general {
        /// Run in the background.
        daemonize: bool = false, "daemonize", FLAG.immutable().effective();
        /// File that holds the process id while the server runs; empty: none, unless daemonized.
        pidfile: String = String::new(), "pidfile", TEXT.immutable().effective();
        /// The supervisor of the process, which is told when it is ready.
        supervised: Supervised = Supervised::No,
            "supervised", choice(Supervised::WORDS).immutable();
        /// Number of databases, chosen by SELECT; one in cluster mode.
        databases: u32 = 16, "databases", integer(1, INT_MAX).immutable().effective();
        /// Working directory: all relative paths of data files start here. Once it has gone
        /// there, the server puts the absolute path here, as CONFIG GET and REWRITE show it.
        dir: String = ".".to_owned(),
            "dir", TEXT.protected().deny_loading().takes(Effect::Directory);
        /// How often per second expired keys and values at rest are looked for, 1 to 500.
        hz: u32 = 10, "hz", COUNT.effective();
        /// Raise `hz` with the number of clients.
        dynamic_hz: bool = true, "dynamic-hz", FLAG;
        /// How much is logged.
        loglevel: LogLevel = LogLevel::Notice,
            "loglevel", choice(LogLevel::WORDS).takes(Effect::LogLevel);
        /// File to log to; empty: standard output.
        logfile: String = String::new(), "logfile", TEXT.immutable().effective();
        /// The form of log lines.
        log_format: LogFormat = LogFormat::Legacy, "log-format", choice(LogFormat::WORDS);
        /// The form of times in the log.
        log_timestamp_format: LogTimestampFormat = LogTimestampFormat::Legacy,
            "log-timestamp-format", choice(LogTimestampFormat::WORDS);
        /// Keep keys and values of users out of the log.
        hide_user_data_from_log: bool = true, "hide-user-data-from-log", FLAG;
        /// Log to syslog as well.
        syslog_enabled: bool = false, "syslog-enabled", FLAG.immutable();
        /// The name that syslog shows.
        syslog_ident: String = "tessera".to_owned(), "syslog-ident", TEXT.immutable();
        /// The facility of syslog.
        syslog_facility: SyslogFacility = SyslogFacility::Local0,
            "syslog-facility", choice(SyslogFacility::WORDS).immutable();
        /// Log a report when the server crashes.
        crash_log_enabled: bool = true, "crash-log-enabled", FLAG;
        /// Test the memory when the server crashes.
        crash_memcheck_enabled: bool = true, "crash-memcheck-enabled", FLAG;
        /// Show the logo at start also when not logging to a terminal.
        always_show_logo: bool = false, "always-show-logo", FLAG.immutable();
        /// Change the title of the process.
        set_proc_title: bool = true, "set-proc-title", FLAG.immutable();
        /// The title of the process.
        proc_title_template: String = "{title} {listen-addr} {server-mode}".to_owned(),
            "proc-title-template", checked(checks::process_title);
        /// Locale for comparing strings in Lua; empty: from the environment.
        locale_collate: String = String::new(), "locale-collate", TEXT;
        /// Warnings of the checks at start that shall not stop the server.
        ignore_warnings: String = String::new(), "ignore-warnings", TEXT;
        /// Whether and how to adjust the kernel's out-of-memory score.
        oom_score_adj: OomScoreAdj = OomScoreAdj::No, "oom-score-adj", choice(OomScoreAdj::WORDS);
        /// The adjustments: as a primary, as a replica, for children.
        oom_score_adj_values: OomScores = OomScores::default(),
            "oom-score-adj-values", super::LIST;
        /// Turn transparent huge pages off for this process. With them a fifth more commands run at
        /// depth, but making one at a page fault can take the kernel more than ten milliseconds.
        disable_thp: bool = true, "disable-thp", FLAG.immutable().effective();
        /// CPUs for the threads that serve clients; empty: all.
        server_cpulist: String = String::new(),
            "server_cpulist", TEXT.immutable().also(&["server-cpulist"]);
        /// CPUs for background threads; empty: all.
        bio_cpulist: String = String::new(),
            "bio_cpulist", TEXT.immutable().also(&["bio-cpulist"]);
        /// CPUs for a rewrite of the append-only file; empty: all.
        aof_rewrite_cpulist: String = String::new(),
            "aof_rewrite_cpulist", TEXT.immutable().also(&["aof-rewrite-cpulist"]);
        /// CPUs for writing a snapshot; empty: all.
        bgsave_cpulist: String = String::new(),
            "bgsave_cpulist", TEXT.immutable().also(&["bgsave-cpulist"]);
        /// How long a shutdown waits for replicas that lag, in seconds.
        shutdown_timeout: u32 = 10, "shutdown-timeout", COUNT.effective();
        /// The actions on SIGINT.
        shutdown_on_sigint: ShutdownOptions = ShutdownOptions::default(),
            "shutdown-on-sigint", Spec::new(Kind::Choices(ShutdownOptions::WORDS));
        /// The actions on SIGTERM.
        shutdown_on_sigterm: ShutdownOptions = ShutdownOptions::default(),
            "shutdown-on-sigterm", Spec::new(Kind::Choices(ShutdownOptions::WORDS));
        /// How long a script or command may run before others are answered -BUSY, in
        /// milliseconds; 0: without limit.
        busy_reply_threshold: u64 = 5000,
            "busy-reply-threshold", LONG_COUNT.also(&["lua-time-limit"]);
        /// File of ACL users; empty: they stand in the configuration.
        aclfile: String = String::new(), "aclfile", TEXT.immutable().protects(NO_ACL);
        /// Entries kept of refused commands and logins.
        acllog_max_len: u64 = 128, "acllog-max-len", LONG_COUNT;
        /// Channels that a new ACL user may use.
        acl_pubsub_default: AclPubsubDefault = AclPubsubDefault::ResetChannels,
            "acl-pubsub-default", choice(AclPubsubDefault::WORDS);
        /// Password of the default user; empty: none is asked for.
        requirepass: crate::value::Secret = Default::default(),
            "requirepass", super::SECRET.effective();
        /// The clients that may change `dir` and `dbfilename` at run time.
        enable_protected_configs: ProtectedAction = ProtectedAction::No,
            "enable-protected-configs", choice(ProtectedAction::WORDS).immutable().effective();
        /// The clients that may use DEBUG.
        enable_debug_command: ProtectedAction = ProtectedAction::No,
            "enable-debug-command", choice(ProtectedAction::WORDS).immutable().effective();
        /// The clients that may use MODULE.
        enable_module_command: ProtectedAction = ProtectedAction::No,
            "enable-module-command", choice(ProtectedAction::WORDS).immutable();
        /// The reaction when a replicated command fails.
        propagation_error_behavior: PropagationErrorBehavior = PropagationErrorBehavior::Ignore,
            "propagation-error-behavior", choice(PropagationErrorBehavior::WORDS);
        /// Call itself Redis in replies that name the server.
        extended_redis_compatibility: bool = false, "extended-redis-compatibility", FLAG;
        /// Write expired keys as they are during an import.
        import_mode: bool = false, "import-mode", FLAG;
        /// Zone of the data centre, told to clients; empty: unknown.
        availability_zone: String = String::new(), "availability-zone", TEXT;
        /// For tests: accept DEBUG ASSERT.
        enable_debug_assert: bool = false, "enable-debug-assert", FLAG.immutable().hidden();
        /// For tests: end by exit instead of abort on a panic.
        use_exit_on_panic: bool = false, "use-exit-on-panic", FLAG.hidden();
        /// For tests: a text that crash reports show.
        debug_context: String = String::new(), "debug-context", TEXT.hidden();
        /// Milliseconds after which a stuck main loop is reported; 0: never.
        watchdog_period: u32 = 0, "watchdog-period", COUNT.hidden();
    }
}
