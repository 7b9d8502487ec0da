#include "base/clock.h"

#include <stdio.h>
#include <time.h>

static cs_time read_clock(clockid_t id) {
    struct timespec ts = {0, 0};
    (void)clock_gettime(id, &ts);
    return (cs_time)ts.tv_sec * CS_SEC + ts.tv_nsec / 1000;
}

static cs_time system_wall(const cs_clock *c) {
    (void)c;
    return read_clock(CLOCK_REALTIME);
}

static cs_time system_mono(const cs_clock *c) {
    (void)c;
    return read_clock(CLOCK_MONOTONIC);
}

const cs_clock *cs_clock_system(void) {
    static const cs_clock system_clock = {system_wall, system_mono};
    return &system_clock;
}

static cs_time manual_wall(const cs_clock *c) {
    return ((const cs_clock_manual *)c)->wall_now;
}
static cs_time manual_mono(const cs_clock *c) {
    return ((const cs_clock_manual *)c)->mono_now;
}

void cs_clock_manual_init(cs_clock_manual *m, cs_time wall) {
    *m = (cs_clock_manual){.clock = {manual_wall, manual_mono}, .wall_now = wall, .mono_now = CS_SEC};
}

void cs_clock_manual_advance(cs_clock_manual *m, cs_time by) {
    m->wall_now += by;
    m->mono_now += by;
}

static bool is_leap(int y) {
    return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
}

static int days_in_month(int y, int m) {
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return m == 2 && is_leap(y) ? 29 : days[m - 1];
}

/* Days from 1970-01-01, counting in eras of 400 years that start on 1 March. */
static int64_t days_of_civil(int y, int m, int d) {
    int64_t year = m <= 2 ? y - 1 : y;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t yoe = year - era * 400;
    int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return era * 146097 + doe - 719468;
}

bool cs_time_of_civil(int year, int month, int day, int hour, int minute, int second, cs_time *ret) {
    if (year < 0 || year > 9999 || month < 1 || month > 12 || day < 1 || day > days_in_month(year, month)) return false;
    if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59) return false;
    *ret = days_of_civil(year, month, day) * CS_DAY + hour * CS_HOUR + minute * CS_MIN + second * CS_SEC;
    return true;
}

cs_civil cs_civil_of_time(cs_time t) {
    int64_t days = t / CS_DAY;
    int64_t rest = t % CS_DAY;
    if (rest < 0) days--, rest += CS_DAY;
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    int month = (int)(mp < 10 ? mp + 3 : mp - 9);
    return (cs_civil){
        .year = (int)(yoe + era * 400 + (month <= 2)),
        .month = month,
        .day = (int)(doy - (153 * mp + 2) / 5 + 1),
        .hour = (int)(rest / CS_HOUR),
        .minute = (int)(rest / CS_MIN % 60),
        .second = (int)(rest / CS_SEC % 60),
        .micro = (int)(rest % CS_SEC),
    };
}

int64_t cs_time_seconds(cs_time t) {
    return t >= 0 || t % CS_SEC == 0 ? t / CS_SEC : t / CS_SEC - 1;
}

const char *cs_time_text(cs_time t, char out[CS_TIME_TEXT_MAX]) {
    cs_civil c = cs_civil_of_time(t);
    int n = snprintf(out, CS_TIME_TEXT_MAX, "%04d-%02d-%02dT%02d:%02d:%02d", c.year, c.month, c.day, c.hour, c.minute,
                     c.second);
    if (n < 0 || n > CS_TIME_TEXT_MAX - 10) n = 0;
    if (c.micro != 0)
        (void)snprintf(out + n, (size_t)(CS_TIME_TEXT_MAX - n), ".%06dZ", c.micro);
    else
        (void)snprintf(out + n, (size_t)(CS_TIME_TEXT_MAX - n), "Z");
    return out;
}

bool cs_time_add(cs_buf *b, cs_time t) {
    char text[CS_TIME_TEXT_MAX];
    return cs_buf_add_str(b, cs_time_text(t, text));
}

/* Reads exactly `digits` digits; -1 when there are fewer. */
static int take_digits(cs_view *v, size_t digits) {
    if (v->n < digits) return -1;
    int x = 0;
    for (size_t i = 0; i < digits; i++) {
        if (v->p[i] < '0' || v->p[i] > '9') return -1;
        x = x * 10 + (v->p[i] - '0');
    }
    v->p += digits, v->n -= digits;
    return x;
}

static bool take_char(cs_view *v, const char *any_of) {
    if (v->n == 0 || v->p[0] == '\0' || strchr(any_of, v->p[0]) == NULL) return false;
    v->p++, v->n--;
    return true;
}

/* "Z" or "+02:00": minutes east of UTC. */
static bool take_offset(cs_view *v, int *ret_minutes) {
    *ret_minutes = 0;
    if (take_char(v, "Zz")) return true;
    bool west = v->n > 0 && v->p[0] == '-';
    if (!take_char(v, "+-")) return false;
    int h = take_digits(v, 2);
    if (!take_char(v, ":")) return false;
    int m = take_digits(v, 2);
    if (h < 0 || h > 23 || m < 0 || m > 59) return false;
    *ret_minutes = (west ? -1 : 1) * (h * 60 + m);
    return true;
}

bool cs_time_parse(cs_view v, cs_time *ret) {
    int year = take_digits(&v, 4);
    if (year < 0 || !take_char(&v, "-")) return false;
    int month = take_digits(&v, 2);
    if (!take_char(&v, "-")) return false;
    int day = take_digits(&v, 2);
    if (!take_char(&v, "Tt ")) return false;
    int hour = take_digits(&v, 2);
    if (!take_char(&v, ":")) return false;
    int minute = take_digits(&v, 2);
    if (!take_char(&v, ":")) return false;
    int second = take_digits(&v, 2);
    int64_t micro = 0;
    if (v.n > 0 && v.p[0] == '.') {
        int64_t unit = 100000;
        if (v.n < 2 || v.p[1] < '0' || v.p[1] > '9') return false;
        for (v.p++, v.n--; v.n > 0 && v.p[0] >= '0' && v.p[0] <= '9'; v.p++, v.n--, unit /= 10)
            micro += unit * (v.p[0] - '0');
    }
    int east;
    cs_time t;
    if (!take_offset(&v, &east) || v.n != 0) return false;
    if (!cs_time_of_civil(year, month, day, hour, minute, second, &t)) return false;
    *ret = t + micro - east * CS_MIN;
    return true;
}

static const struct {
    char letter;
    cs_time unit;
} units[] = {{'y', CS_YEAR}, {'w', 7 * CS_DAY}, {'d', CS_DAY}, {'h', CS_HOUR}, {'m', CS_MIN}, {'s', CS_SEC}};

bool cs_duration_parse(cs_view v, cs_time *ret) {
    if (v.n < 2 || v.n > 9) return false;
    int64_t x = 0;
    for (size_t i = 0; i + 1 < v.n; i++) {
        if (v.p[i] < '0' || v.p[i] > '9') return false;
        x = x * 10 + (v.p[i] - '0');
    }
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (v.p[v.n - 1] != units[i].letter) continue;
        if (x <= 0 || x > INT64_MAX / units[i].unit) return false;
        *ret = x * units[i].unit;
        return true;
    }
    return false;
}

const char *cs_duration_text(cs_time d, char out[CS_TIME_TEXT_MAX]) {
    if (d < 0) d = -d;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (units[i].letter == 'w') continue;
        if (d >= 2 * units[i].unit || units[i].letter == 's') {
            (void)snprintf(out, CS_TIME_TEXT_MAX, "%lld%c", (long long)(d / units[i].unit), units[i].letter);
            break;
        }
    }
    return out;
}
