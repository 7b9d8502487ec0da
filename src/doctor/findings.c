#include "doctor/findings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const finding_info infos[] = {
#define X(number, name, is, how, fix, source)                                                                          \
    {number, (number) < 10 ? "F0" #number : "F" #number, name, is, how, fix, source},
#include "doctor/findings.def"
#undef X
};
enum { INFOS = sizeof infos / sizeof infos[0] };

const finding_info *finding_at(size_t i) {
    return i < INFOS ? &infos[i] : NULL;
}

const finding_info *finding_by_number(unsigned number) {
    for (size_t i = 0; i < INFOS; i++)
        if (infos[i].number == number) return &infos[i];
    return NULL;
}

const finding_info *finding_by_id(cs_view text) {
    unsigned number = 0;
    for (size_t i = 0; i < INFOS; i++)
        if (cs_view_eq_nocase(text, cs_view_str(infos[i].name))) return &infos[i];
    if (text.n < 2 || text.n > 4 || (text.p[0] | 0x20) != 'f') return NULL;
    for (size_t i = 1; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9') return NULL;
        number = number * 10 + (unsigned)(text.p[i] - '0');
    }
    return finding_by_number(number);
}

static void put(findings *f, const finding *one) {
    for (size_t i = 0; i < f->n; i++) {
        if (f->at[i].info != one->info) continue;
        if (one->confidence > f->at[i].confidence) f->at[i] = *one;
        return;
    }
    if (f->n < FINDINGS_MAX) f->at[f->n++] = *one;
}

void findings_add(findings *f, unsigned number, unsigned confidence, const char *evidence, ...) {
    finding one = {.info = finding_by_number(number), .confidence = confidence};
    va_list ap;
    va_start(ap, evidence);
    (void)vsnprintf(one.evidence, sizeof one.evidence, evidence, ap);
    va_end(ap);
    if (one.info != NULL) put(f, &one);
}

void findings_note(findings *f, unsigned number, const char *evidence, ...) {
    finding one = {.info = finding_by_number(number), .confidence = 1, .note = true};
    va_list ap;
    va_start(ap, evidence);
    (void)vsnprintf(one.evidence, sizeof one.evidence, evidence, ap);
    va_end(ap);
    if (one.info != NULL) put(f, &one);
}

void findings_lower(findings *f, unsigned number, unsigned confidence, const char *why) {
    for (size_t i = 0; i < f->n; i++) {
        finding *one = &f->at[i];
        size_t n = strlen(one->evidence);
        if (one->info->number != number || one->note) continue;
        if (one->confidence > confidence) one->confidence = confidence;
        if (confidence > 0) return;
        one->note = true;
        (void)snprintf(one->evidence + n, sizeof one->evidence - n, "; %s", why);
        return;
    }
}

bool findings_has(const findings *f, unsigned number) {
    for (size_t i = 0; i < f->n; i++)
        if (f->at[i].info->number == number && !f->at[i].note) return true;
    return false;
}

bool findings_problem(const findings *f) {
    for (size_t i = 0; i < f->n; i++)
        if (!f->at[i].note) return true;
    return false;
}

static bool before(const finding *a, const finding *b) {
    return a->note != b->note ? b->note : a->confidence > b->confidence;
}

/* Stable: what was found first goes first among equals. */
void findings_sort(findings *f) {
    for (size_t i = 1; i < f->n; i++) {
        finding one = f->at[i];
        size_t k = i;
        for (; k > 0 && before(&one, &f->at[k - 1]); k--) f->at[k] = f->at[k - 1];
        f->at[k] = one;
    }
}

void findings_json(const findings *f, cs_json *j) {
    cs_json_array(j, "findings");
    for (size_t i = 0; i < f->n; i++) {
        const finding *one = &f->at[i];
        cs_json_object(j, NULL);
        cs_json_str(j, "id", one->info->id);
        cs_json_str(j, "name", one->info->name);
        cs_json_str(j, "kind", one->note ? "note" : "problem");
        cs_json_int(j, "confidence", one->note ? 0 : one->confidence);
        cs_json_str(j, "is", one->info->is);
        cs_json_str(j, "evidence", one->evidence);
        cs_json_str(j, "fix", one->info->fix);
        cs_json_object_end(j);
    }
    cs_json_array_end(j);
}
