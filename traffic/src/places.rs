//! Countries, the networks that people and servers of a country are in, and addresses in them.

use crate::grammar::Language;
use crate::random::{Random, mixed};

/// A network: its number and the name that registries give it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// Autonomous system number.
    pub asn: u32,
    /// Its organisation.
    pub org: &'static str,
}

const fn net(asn: u32, org: &'static str) -> Network {
    Network { asn, org }
}

/// A country with customers.
#[derive(Debug)]
pub struct Country {
    /// ISO 3166 code.
    pub code: &'static str,
    /// Share of the customers, in proportion.
    pub weight: u32,
    /// Minutes that its clocks are ahead of UTC.
    pub utc_minutes: i32,
    /// Languages, the most spoken first.
    pub languages: &'static [&'static str],
    /// Networks of homes and telephones.
    pub networks: &'static [Network],
}

const fn country(
    code: &'static str,
    weight: u32,
    utc_minutes: i32,
    languages: &'static [&'static str],
    networks: &'static [Network],
) -> Country {
    Country { code, weight, utc_minutes, languages, networks }
}

/// Every country that customers of a simulated fleet live in.
pub const COUNTRIES: &[Country] = &[
    country(
        "US",
        240,
        -300,
        &["en", "en", "en", "es"],
        &[net(7922, "COMCAST-7922"), net(7018, "ATT-INTERNET4"), net(21928, "T-MOBILE-AS21928")],
    ),
    country("GB", 60, 0, &["en"], &[net(2856, "BT-UK-AS"), net(5089, "NTL")]),
    country("DE", 70, 60, &["de", "de", "en"], &[net(3320, "DTAG"), net(3209, "VODANET")]),
    country("FR", 55, 60, &["fr", "fr", "en"], &[net(3215, "AS3215"), net(12322, "PROXAD")]),
    country("ES", 40, 60, &["es"], &[net(3352, "TELEFONICA_DE_ESPANA"), net(12479, "UNI2-AS")]),
    country("MX", 35, -360, &["es"], &[net(8151, "UNINET")]),
    country("AR", 20, -180, &["es"], &[net(7303, "AS7303")]),
    country("BR", 60, -180, &["pt"], &[net(28573, "CLARO-S.A."), net(18881, "TELEFONICA-BRASIL")]),
    country("PT", 12, 0, &["pt", "pt", "en"], &[net(3243, "MEO-RESIDENCIAL")]),
    country("CA", 30, -300, &["en", "en", "fr"], &[net(577, "BACOM"), net(6327, "SHAW")]),
    country("AU", 25, 600, &["en"], &[net(1221, "ASN-TELSTRA")]),
    country(
        "IN",
        90,
        330,
        &["en", "en", "hi"],
        &[net(55836, "RELIANCEJIO-IN"), net(24560, "AIRTELBROADBAND-AS-AP")],
    ),
    country("NG", 15, 60, &["en"], &[net(29465, "VCG-AS")]),
    country("EG", 18, 120, &["ar", "ar", "en"], &[net(8452, "TE-AS")]),
    country("SA", 15, 180, &["ar"], &[net(25019, "SAUDINETSTC-AS")]),
    country("RU", 35, 180, &["ru"], &[net(12389, "ROSTELECOM-AS"), net(8359, "MTS")]),
    country("UA", 15, 120, &["ru", "en"], &[net(15895, "KSNET-AS")]),
    country("JP", 60, 540, &["ja"], &[net(17676, "GIGAINFRA"), net(4713, "OCN")]),
    country("TW", 20, 480, &["zh"], &[net(3462, "HINET")]),
    country("SG", 15, 480, &["en", "zh"], &[net(9506, "SINGTEL-FIBRE")]),
    country("IT", 40, 60, &["it"], &[net(3269, "ASN-IBSNAZ"), net(30722, "VODAFONE-IT-ASN")]),
    country("NL", 25, 60, &["nl", "nl", "en"], &[net(1136, "KPN"), net(33915, "TNF-AS")]),
    country("PL", 30, 60, &["pl"], &[net(5617, "TPNET"), net(12741, "AS-NETIA")]),
    country("TR", 30, 180, &["tr"], &[net(9121, "TTNET"), net(16135, "TURKCELL-AS")]),
    country("KR", 40, 540, &["ko"], &[net(4766, "KIXS-AS-KR"), net(3786, "LGDACOM")]),
    country("VN", 30, 420, &["vi"], &[net(45899, "VNPT-AS-VN"), net(7552, "VIETEL-AS-AP")]),
    country("ID", 35, 420, &["id"], &[net(7713, "TELKOMNET-AS-AP"), net(23693, "TELKOMSEL-ASN-ID")]),
    country("CN", 70, 480, &["zh"], &[net(4134, "CHINANET-BACKBONE"), net(4837, "CHINA169-BACKBONE")]),
];

/// Networks that servers are rented in.
pub const HOSTERS: &[Network] = &[
    net(16509, "AMAZON-02"),
    net(8075, "MICROSOFT-CORP-MSN-AS-BLOCK"),
    net(396_982, "GOOGLE-CLOUD-PLATFORM"),
    net(14061, "DIGITALOCEAN-ASN"),
    net(24940, "HETZNER-AS"),
    net(16276, "OVH"),
    net(20473, "AS-VULTR"),
    net(45102, "ALIBABA-CN-NET"),
    net(63949, "AKAMAI-LINODE-AP"),
    net(31898, "ORACLE-BMC-31898"),
];

/// First octets that no reserved block begins with.
const OCTETS: &[u8] = &[
    23, 31, 37, 41, 45, 46, 49, 51, 58, 61, 62, 71, 77, 78, 80, 82, 85, 87, 89, 91, 93, 95, 101, 103, 106,
    109, 113, 115, 118, 121, 123, 125, 134, 139, 144, 149, 151, 157, 161, 163, 173, 176, 178, 181, 185, 187,
    188, 189, 190, 194, 195, 201, 207, 210, 213, 217, 220,
];

/// Blocks of 65,536 addresses that a network has.
const BLOCKS: u64 = 24;

/// One of the countries, by their customers.
pub fn any_country(random: &mut Random) -> u8 {
    random.weighted(COUNTRIES.iter().map(|country| country.weight)) as u8
}

/// What somebody of this country speaks.
pub fn any_language(country: u8, random: &mut Random) -> Language {
    Language::of(random.pick::<&str>(COUNTRIES[usize::from(country)].languages))
}

/// An address in a network.
pub fn any_address(network: Network, random: &mut Random) -> u32 {
    let block = mixed(&[u64::from(network.asn), random.below(BLOCKS)]);
    let octet = OCTETS[(block % OCTETS.len() as u64) as usize];
    u32::from_be_bytes([octet, (block >> 32) as u8, random.below(256) as u8, random.between(1, 254) as u8])
}

/// An address of a carrier's translation pool: many customers leave through each.
pub fn carrier_address(network: Network, number: u64) -> u32 {
    let block = mixed(&[u64::from(network.asn), 0x434e]);
    let octet = OCTETS[(block % OCTETS.len() as u64) as usize];
    u32::from_be_bytes([octet, (block >> 32) as u8, (block >> 40) as u8, (number % 254 + 1) as u8])
}
