// strftime for strftime_now; see template_formatting.h.
#include <string>

#include "models/chat/template_formatting.h"

namespace quern::chat {
namespace {

struct CivilTime {
  int64_t year = 1970;
  int month = 1;        // 1..12
  int day = 1;          // 1..31
  int weekday = 0;      // 0 is Sunday
  int day_of_year = 1;  // 1..366
  int hour = 0;
  int minute = 0;
  int second = 0;
};

constexpr const char* kDays[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                 "Thursday", "Friday", "Saturday"};
constexpr const char* kMonths[] = {"January",   "February", "March",    "April",
                                   "May",       "June",     "July",     "August",
                                   "September", "October",  "November", "December"};

// Days since 1970-01-01 to a date of the proleptic Gregorian calendar, counted in eras of 400
// years that begin on 1 March.
CivilTime civil_time(int64_t unix_s) {
  CivilTime t;
  int64_t days = unix_s / 86400;
  int64_t rest = unix_s % 86400;
  if (rest < 0) {
    rest += 86400;
    --days;
  }
  t.hour = static_cast<int>(rest / 3600);
  t.minute = static_cast<int>(rest / 60 % 60);
  t.second = static_cast<int>(rest % 60);
  t.weekday = static_cast<int>(((days + 4) % 7 + 7) % 7);
  const int64_t shifted = days + 719468;  // days from 0000-03-01 to 1970-01-01
  const int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
  const int64_t day_of_era = shifted - era * 146097;
  const int64_t year_of_era =
      (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const int64_t from_march = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const int64_t shifted_month = (5 * from_march + 2) / 153;
  t.day = static_cast<int>(from_march - (153 * shifted_month + 2) / 5 + 1);
  t.month = static_cast<int>(shifted_month < 10 ? shifted_month + 3 : shifted_month - 9);
  t.year = year_of_era + era * 400 + (t.month <= 2 ? 1 : 0);
  const bool leap = (t.year % 4 == 0 && t.year % 100 != 0) || t.year % 400 == 0;
  static constexpr int kBefore[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
  t.day_of_year = kBefore[t.month - 1] + t.day + (leap && t.month > 2 ? 1 : 0);
  return t;
}

std::string padded(int64_t value, size_t width, char pad) {
  std::string digits = std::to_string(value);
  if (pad != '\0' && digits.size() < width) digits.insert(0, width - digits.size(), pad);
  return digits;
}

// `pad`: '0', ' ' or '\0' for none, if the conversion is a number.
std::string convert(char letter, bool unpadded, const CivilTime& t) {
  const char zero = unpadded ? '\0' : '0';
  const char space = unpadded ? '\0' : ' ';
  switch (letter) {
    case 'Y':
      return std::to_string(t.year);
    case 'y':
      return padded(t.year % 100, 2, zero);
    case 'm':
      return padded(t.month, 2, zero);
    case 'd':
      return padded(t.day, 2, zero);
    case 'e':
      return padded(t.day, 2, space);
    case 'H':
      return padded(t.hour, 2, zero);
    case 'I':
      return padded((t.hour + 11) % 12 + 1, 2, zero);
    case 'M':
      return padded(t.minute, 2, zero);
    case 'S':
      return padded(t.second, 2, zero);
    case 'j':
      return padded(t.day_of_year, 3, zero);
    case 'w':
      return std::to_string(t.weekday);
    case 'u':
      return std::to_string(t.weekday == 0 ? 7 : t.weekday);
    case 'p':
      return t.hour < 12 ? "AM" : "PM";
    case 'A':
      return kDays[t.weekday];
    case 'a':
      return std::string(kDays[t.weekday]).substr(0, 3);
    case 'B':
      return kMonths[t.month - 1];
    case 'b':
    case 'h':
      return std::string(kMonths[t.month - 1]).substr(0, 3);
    case 'Z':
    case 'z':
      return "";  // a naive datetime has no zone
    case '%':
      return "%";
    case 'n':
      return "\n";
    case 't':
      return "\t";
    default:
      fail(std::string("strftime_now does not know the conversion '%") + letter + "'");
  }
}

// Conversions that stand for several.
const char* expansion(char letter) {
  switch (letter) {
    case 'F':
      return "%Y-%m-%d";
    case 'T':
    case 'X':
      return "%H:%M:%S";
    case 'R':
      return "%H:%M";
    case 'D':
    case 'x':
      return "%m/%d/%y";
    case 'c':
      return "%a %b %e %H:%M:%S %Y";
    default:
      return nullptr;
  }
}

}  // namespace

std::string format_time(std::string_view format, int64_t unix_s) {
  // Years beyond four digits say more about the clock than about the date.
  constexpr int64_t kLast = 253402300799;  // 9999-12-31 23:59:59
  const CivilTime t = civil_time(unix_s < -kLast ? -kLast : unix_s > kLast ? kLast : unix_s);
  std::string out;
  for (size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%' || i + 1 == format.size()) {
      out.push_back(format[i]);
      continue;
    }
    ++i;
    const bool unpadded = format[i] == '-' && i + 1 < format.size();
    if (unpadded) ++i;
    if (const char* whole = expansion(format[i])) {
      out += format_time(whole, unix_s);  // expansions hold no expansions
    } else {
      out += convert(format[i], unpadded, t);
    }
  }
  return out;
}

}  // namespace quern::chat
