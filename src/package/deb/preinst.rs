//! How a preinst script is called where its package was unpacked without dpkg.

use super::foresee::{FORCED_ALWAYS, shares, variables};
use super::install::{control, database_name, environment};
use crate::package::{Script, Unpacked};

/// Runs the preinst script of `$0` as dpkg does, from a folder of the control files, where debconf finds whose questions it
/// asks; `$1` is the control file itself. Where there is Perl it copies them all, since a program for each takes longer.
const PREINST: &str = r#"
folder=/var/lib/dpkg/tmp.ci
mkdir $folder
printf '%s' "$1" > $folder/control
set -- /var/lib/dpkg/info/"$0".*
if [ -x /usr/bin/perl ]; then
    /usr/bin/perl -e '
        my ($folder, $name) = splice @ARGV, 0, 2;
        for my $file (@ARGV) {
            my $copy = $folder . substr $file, length "/var/lib/dpkg/info/$name";
            open my $in, "<:raw", $file or die "$file: $!\n";
            open my $out, ">:raw", $copy or die "$copy: $!\n";
            local $/;
            print $out readline $in;
            close $out or die "$copy: $!\n";
            my ($mode, $accessed, $changed) = (stat $in)[2, 8, 9];
            chmod $mode & 07777, $copy or die "$copy: $!\n";
            utime $accessed, $changed, $copy;
        }' $folder/ "$0." "$@"
else
    for file; do
        cp -p "$file" "$folder/${file##*/"$0".}"
    done
fi || exit
$folder/preinst install
code=$?
rm -r $folder
exit $code
"#;

/// The `preinst install` call as dpkg makes it (Policy 6.5; the variables are those of dpkg(1)).
pub(super) fn preinst(package: &Unpacked, running: &str) -> Option<Script> {
    package.control.get("preinst")?;
    Some(Script {
        label: format!("the preinst script of {}", package.name),
        command: ["/bin/sh", "-c", PREINST, &database_name(package), control(package).as_str()]
            .map(str::to_owned)
            .to_vec(),
        environment: environment().chain(variables(package, "preinst", running, FORCED_ALWAYS)).collect(),
        shares: shares(package.text("preinst")),
        ..Script::default()
    })
}
