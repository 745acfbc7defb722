//! Numbers of tags and flags, by rpm's own names (`rpmtag.h`, `rpmds.h`, `rpmfiles.h`).
#![allow(missing_docs, reason = "the names are rpm's own, which its manual explains")]

// The signature header.
pub const SIGNATURES: u32 = 62;
pub const DSAHEADER: u32 = 267;
pub const RSAHEADER: u32 = 268;
pub const SHA1HEADER: u32 = 269;
pub const SIG_LONGSIZE: u32 = 270;
pub const SIG_LONGARCHIVESIZE: u32 = 271;
pub const SHA256HEADER: u32 = 273;
pub const OPENPGP: u32 = 278;
pub const SIG_SIZE: u32 = 1000;
pub const SIG_PGP: u32 = 1002;
pub const SIG_MD5: u32 = 1004;
pub const SIG_GPG: u32 = 1005;
pub const SIG_PAYLOADSIZE: u32 = 1007;
pub const SIG_RESERVEDSPACE: u32 = 1008;

// The main header.
pub const IMAGE: u32 = 61;
pub const IMMUTABLE: u32 = 63;
pub const I18NTABLE: u32 = 100;
pub const NAME: u32 = 1000;
pub const VERSION: u32 = 1001;
pub const RELEASE: u32 = 1002;
pub const EPOCH: u32 = 1003;
pub const SUMMARY: u32 = 1004;
pub const DESCRIPTION: u32 = 1005;
pub const BUILDTIME: u32 = 1006;
pub const BUILDHOST: u32 = 1007;
pub const SIZE: u32 = 1009;
pub const LICENSE: u32 = 1014;
pub const GROUP: u32 = 1016;
pub const URL: u32 = 1020;
pub const OS: u32 = 1021;
pub const ARCH: u32 = 1022;
pub const PREIN: u32 = 1023;
pub const POSTIN: u32 = 1024;
pub const OLDFILENAMES: u32 = 1027;
pub const FILESIZES: u32 = 1028;
pub const FILEMODES: u32 = 1030;
pub const FILERDEVS: u32 = 1033;
pub const FILEMTIMES: u32 = 1034;
pub const FILEDIGESTS: u32 = 1035;
pub const FILELINKTOS: u32 = 1036;
pub const FILEFLAGS: u32 = 1037;
pub const FILEUSERNAME: u32 = 1039;
pub const FILEGROUPNAME: u32 = 1040;
pub const SOURCERPM: u32 = 1044;
pub const FILEVERIFYFLAGS: u32 = 1045;
pub const PROVIDENAME: u32 = 1047;
pub const REQUIREFLAGS: u32 = 1048;
pub const REQUIRENAME: u32 = 1049;
pub const REQUIREVERSION: u32 = 1050;
pub const RPMVERSION: u32 = 1064;
pub const TRIGGERSCRIPTS: u32 = 1065;
pub const TRIGGERNAME: u32 = 1066;
pub const TRIGGERVERSION: u32 = 1067;
pub const TRIGGERFLAGS: u32 = 1068;
pub const TRIGGERINDEX: u32 = 1069;
pub const CHANGELOGTIME: u32 = 1080;
pub const CHANGELOGNAME: u32 = 1081;
pub const CHANGELOGTEXT: u32 = 1082;
pub const PREINPROG: u32 = 1085;
pub const POSTINPROG: u32 = 1086;
pub const OBSOLETENAME: u32 = 1090;
pub const TRIGGERSCRIPTPROG: u32 = 1092;
pub const FILEDEVICES: u32 = 1095;
pub const FILEINODES: u32 = 1096;
pub const FILELANGS: u32 = 1097;
pub const PREFIXES: u32 = 1098;
pub const PROVIDEFLAGS: u32 = 1112;
pub const PROVIDEVERSION: u32 = 1113;
pub const OBSOLETEFLAGS: u32 = 1114;
pub const OBSOLETEVERSION: u32 = 1115;
pub const DIRINDEXES: u32 = 1116;
pub const BASENAMES: u32 = 1117;
pub const DIRNAMES: u32 = 1118;
pub const PAYLOADFORMAT: u32 = 1124;
pub const PAYLOADCOMPRESSOR: u32 = 1125;
pub const PAYLOADFLAGS: u32 = 1126;
pub const FILECOLORS: u32 = 1140;
pub const FILEDEPENDSX: u32 = 1143;
pub const FILEDEPENDSN: u32 = 1144;
pub const DEPENDSDICT: u32 = 1145;
pub const PRETRANS: u32 = 1151;
pub const POSTTRANS: u32 = 1152;
pub const PRETRANSPROG: u32 = 1153;
pub const POSTTRANSPROG: u32 = 1154;
pub const LONGFILESIZES: u32 = 5008;
pub const LONGSIZE: u32 = 5009;
pub const FILECAPS: u32 = 5010;
pub const FILEDIGESTALGO: u32 = 5011;
pub const PREINFLAGS: u32 = 5020;
pub const POSTINFLAGS: u32 = 5021;
pub const PRETRANSFLAGS: u32 = 5024;
pub const POSTTRANSFLAGS: u32 = 5025;
pub const TRIGGERSCRIPTFLAGS: u32 = 5027;
pub const ENCODING: u32 = 5062;
pub const FILETRIGGERSCRIPTS: u32 = 5066;
pub const FILETRIGGERSCRIPTPROG: u32 = 5067;
pub const FILETRIGGERSCRIPTFLAGS: u32 = 5068;
pub const FILETRIGGERNAME: u32 = 5069;
pub const FILETRIGGERINDEX: u32 = 5070;
pub const FILETRIGGERFLAGS: u32 = 5072;
pub const TRANSFILETRIGGERSCRIPTS: u32 = 5076;
pub const TRANSFILETRIGGERSCRIPTPROG: u32 = 5077;
pub const TRANSFILETRIGGERSCRIPTFLAGS: u32 = 5078;
pub const TRANSFILETRIGGERNAME: u32 = 5079;
pub const TRANSFILETRIGGERINDEX: u32 = 5080;
pub const TRANSFILETRIGGERFLAGS: u32 = 5082;
pub const FILETRIGGERPRIORITIES: u32 = 5084;
pub const TRANSFILETRIGGERPRIORITIES: u32 = 5085;
pub const PAYLOADDIGEST: u32 = 5092;
pub const PAYLOADDIGESTALGO: u32 = 5093;
pub const PAYLOADDIGESTALT: u32 = 5097;

/// SHA-256 as `OpenPGP` numbers it, for the tags that name a digest's algorithm.
pub const SHA256: u32 = 8;

// Flags of relations: how versions compare, and what asks.
pub const GREATER: u32 = 1 << 2;
pub const LESS_EQUAL: u32 = 1 << 1 | EQUAL;
pub const EQUAL: u32 = 1 << 3;
pub const INTERPRETER: u32 = 1 << 8;
pub const SCRIPT_PRE: u32 = 1 << 9;
pub const SCRIPT_POST: u32 = 1 << 10;
pub const RPMLIB: u32 = 1 << 24;

// Flags of relations that fire triggers.
pub const TRIGGERIN: u32 = 1 << 16;
pub const TRIGGERPREIN: u32 = 1 << 25;

// Flags of scriptlets: macros of their text are expanded, and tags of their package (`rpmscript.h`).
pub const EXPAND: u32 = 1 << 0;
pub const QFORMAT: u32 = 1 << 1;

/// A file that is in the header and not in the payload.
pub const GHOST: u32 = 1 << 6;
/// All that `rpm --verify` compares.
pub const VERIFY_ALL: u32 = u32::MAX;
/// What it compares of a ghost: neither digest nor size, link or time (`rpmbuild` clears 0x27).
pub const VERIFY_GHOST: u32 = VERIFY_ALL & !0x27;
