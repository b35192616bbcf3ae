// Sources: RFC 3339 (dates), RFC 4122 (UUID), RFC 1123 (host names), RFC 5321 (mail), RFC 4291
// (IPv6), RFC 3986 (URI), as JSON Schema validation 7.3 names them.
#include "engine/grammar/schema_formats.h"

#include <algorithm>
#include <iterator>

// Macros, since literals join at compile time. Days by month; 29 February in leap years only; no
// year 0, no leap seconds.
#define QUERN_LEAP "(?:0[48]|[2468][048]|[13579][26])"
#define QUERN_YEAR "(?:[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])"
#define QUERN_DATE                                                               \
  "(?:" QUERN_YEAR                                                               \
  "-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|" \
  "(?:0[13578]|1[02])-31)|(?:[0-9]{2}" QUERN_LEAP "|" QUERN_LEAP "00)-02-29)"
#define QUERN_TIME                                               \
  "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,9})?" \
  "(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
#define QUERN_LABEL "[A-Za-z0-9](?:[A-Za-z0-9-]{0,48}[A-Za-z0-9])?"
// At most five labels of fifty characters, so that the whole stays below 253.
#define QUERN_HOST QUERN_LABEL "(?:\\." QUERN_LABEL "){0,4}"
#define QUERN_ATOM "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,30}"
#define QUERN_OCTET "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9][0-9]|[0-9])"
#define QUERN_HEXTET "[0-9a-fA-F]{1,4}"
#define QUERN_PCHAR "(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})"

namespace quern::grammar {
namespace {

constexpr StringFormat kFormats[] = {
    {"date", "^" QUERN_DATE "$"},
    {"time", "^" QUERN_TIME "$"},
    {"date-time", "^" QUERN_DATE "T" QUERN_TIME "$"},
    // Weeks, or days and times; whole numbers.
    {"duration",
     "^P(?:[0-9]{1,9}W|[0-9]{1,9}Y(?:[0-9]{1,9}M(?:[0-9]{1,9}D)?)?(?:T[0-9]{1,9}H)?|"
     "[0-9]{1,9}M(?:[0-9]{1,9}D)?|[0-9]{1,9}D(?:T[0-9]{1,9}H(?:[0-9]{1,9}M(?:[0-9]{1,9}S)?)?)?|"
     "T(?:[0-9]{1,9}H(?:[0-9]{1,9}M(?:[0-9]{1,9}S)?)?|[0-9]{1,9}M(?:[0-9]{1,9}S)?|[0-9]{1,9}S))$"},
    {"uuid", "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"},
    {"ipv4", "^" QUERN_OCTET "(?:\\." QUERN_OCTET "){3}$"},
    // Eight groups, or one "::" with up to six around it; no embedded IPv4.
    {"ipv6",
     "^(?:" QUERN_HEXTET "(?::" QUERN_HEXTET "){7}|::(?:" QUERN_HEXTET "(?::" QUERN_HEXTET
     "){0,5})?|" QUERN_HEXTET "::(?:" QUERN_HEXTET "(?::" QUERN_HEXTET "){0,4})?|" QUERN_HEXTET
     ":" QUERN_HEXTET "::(?:" QUERN_HEXTET "(?::" QUERN_HEXTET "){0,3})?|" QUERN_HEXTET
     "(?::" QUERN_HEXTET "){2}::(?:" QUERN_HEXTET "(?::" QUERN_HEXTET "){0,2})?)$"},
    {"hostname", "^" QUERN_HOST "$"},
    // A local part of plain words; no quoting, no address literals.
    {"email", "^" QUERN_ATOM "(?:\\." QUERN_ATOM ")?@" QUERN_LABEL "(?:\\." QUERN_LABEL "){1,4}$"},
    // With an authority, or a path; no user information, no literal addresses.
    {"uri", "^[A-Za-z][A-Za-z0-9+.-]{0,30}:(?://[A-Za-z0-9._~-]+(?::[0-9]{1,5})?(?:/" QUERN_PCHAR
            "*)*|" QUERN_PCHAR "+(?:/" QUERN_PCHAR "*)*)(?:\\?(?:" QUERN_PCHAR
            "|[/?])*)?(?:#(?:" QUERN_PCHAR "|[/?])*)?$"},
};

}  // namespace

const StringFormat* find_format(std::string_view name) {
  const auto* const it = std::find_if(std::begin(kFormats), std::end(kFormats),
                                      [&](const StringFormat& f) { return f.name == name; });
  return it == std::end(kFormats) ? nullptr : it;
}

std::string_view format_names() {
  return "date, time, date-time, duration, uuid, ipv4, ipv6, hostname, email, uri";
}

}  // namespace quern::grammar

#undef QUERN_LEAP
#undef QUERN_YEAR
#undef QUERN_DATE
#undef QUERN_TIME
#undef QUERN_LABEL
#undef QUERN_HOST
#undef QUERN_ATOM
#undef QUERN_OCTET
#undef QUERN_HEXTET
#undef QUERN_PCHAR
