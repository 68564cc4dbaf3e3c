// Streams, events, captures and graphs.
//
// A stream runs its work at once, or, with FAKE_GPU_STREAMS=lazy, queues it until something waits for it. A stream
// that is capturing records it. The work of a graph is kept in the order in which it was captured, over all streams that
// take part: that order respects every dependency. Which stream has seen which other's work is kept beside it, so that a
// capture whose branches do not join again is refused.
#include "core.h"

#include <chrono>
#include <cstring>
#include <deque>
#include <set>
#include <thread>

namespace emu {

struct Graph {
    std::vector<Work> nodes;
    std::vector<std::string> names;
};

namespace {

using Clock = std::chrono::steady_clock;
enum Mode { GLOBAL, THREAD_LOCAL, RELAXED };

struct Capture {
    Stream *origin;
    int mode;
    std::thread::id thread;
    bool invalidated = false;
    unsigned long long id;
    std::shared_ptr<Graph> graph = std::make_shared<Graph>();
    std::map<Stream *, std::map<Stream *, size_t>> seen;  // per stream: up to which node of each stream it comes after
    std::map<Stream *, size_t> last;                      // per stream: its last node
};

}  // namespace

struct Stream {
    unsigned flags = 0;
    int priority = 0;
    bool blocking = true;  // waits for the legacy default stream, and it for this
    std::deque<Work> queue;
    size_t submitted = 0, done = 0;
    std::shared_ptr<Capture> capture;
};

namespace {

struct Event {
    bool timing = true;
    bool recorded = false;
    Clock::time_point time;
    Stream *stream = nullptr;  // that it was recorded in, and after how much of its work
    size_t position = 0;
    std::weak_ptr<Capture> capture;
    bool captured = false;
    std::map<Stream *, size_t> seen;
};

struct Executable {
    std::vector<Work> nodes;
};

std::set<Stream *> streams;
std::set<Event *> events;
std::set<Graph *> graphs;
std::map<Graph *, std::shared_ptr<Graph>> owned_graphs;
std::set<Executable *> executables;
std::set<std::shared_ptr<Capture>> captures;
Stream legacy, per_thread;
unsigned long long next_capture = 1;
thread_local int thread_mode = GLOBAL;

bool lazy() {
    static const bool answer = strcmp(setting("FAKE_GPU_STREAMS", "eager"), "lazy") == 0;
    return answer;
}

Stream *stream_of(Handle handle) {
    auto number = reinterpret_cast<uintptr_t>(handle);
    if (number <= 1) return &legacy;
    if (number == 2) return &per_thread;
    auto *stream = static_cast<Stream *>(handle);
    return streams.count(stream) ? stream : nullptr;
}

template <class T>
T *found(std::set<T *> &all, Handle handle) {
    auto *object = static_cast<T *>(handle);
    return all.count(object) ? object : nullptr;
}

Status drain_until(Stream *stream, size_t position) {
    Status first = SUCCESS;
    while (stream->done < position && !stream->queue.empty()) {
        Work work = std::move(stream->queue.front());
        stream->queue.pop_front();
        stream->done++;
        Status status = work();
        if (!first) first = status;
    }
    return first;
}

Status drain_stream(Stream *stream) { return drain_until(stream, stream->submitted); }

template <class F>
Status for_all_streams(F visit) {
    Status first = visit(&legacy);
    Status status = visit(&per_thread);
    if (!first) first = status;
    for (Stream *stream : std::set<Stream *>(streams)) {
        status = visit(stream);
        if (!first) first = status;
    }
    return first;
}

Status invalidate(Capture *capture, Status status, const char *what) {
    if (!capture->invalidated) complain(status, "%s invalidates the capture of a stream: %s", what, text_of(status));
    capture->invalidated = true;
    return status;
}

// The legacy stream waits for all blocking streams: work in it is an error while one of these captures.
Capture *blocking_capture() {
    for (auto &capture : captures)
        for (auto &entry : capture->seen)
            if (entry.first->blocking && entry.first->capture == capture) return capture.get();
    return nullptr;
}

Status record(Stream *stream, Work work, const char *what) {
    Capture *capture = stream->capture.get();
    if (capture->invalidated) return CAPTURE_INVALIDATED;
    count("captured", "%s", what);
    capture->graph->nodes.push_back(std::move(work));
    capture->graph->names.push_back(what);
    capture->last[stream] = capture->graph->nodes.size();
    capture->seen[stream][stream] = capture->graph->nodes.size();
    return SUCCESS;
}

}  // namespace

Status submit(Handle handle, Work work, const char *what) {
    Stream *stream = stream_of(handle);
    if (!stream) return complain(INVALID_HANDLE, "%s: no such stream: %p", what, handle);
    if (stream->capture) return record(stream, std::move(work), what);
    if (stream == &legacy) {
        if (Capture *capture = blocking_capture()) return invalidate(capture, CAPTURE_IMPLICIT, what);
        if (lazy()) {
            Status status = for_all_streams([](Stream *s) { return s->blocking ? drain_stream(s) : SUCCESS; });
            if (status) return status;
        }
        return work();
    }
    stream->submitted++;
    if (lazy()) {
        stream->queue.push_back(std::move(work));
        return SUCCESS;
    }
    stream->done++;
    return work();
}

Status forbid_in_capture(const char *what) {
    for (auto &capture : captures) {
        bool own = capture->thread == std::this_thread::get_id();
        bool forbidden = thread_mode == RELAXED             ? false
                         : capture->mode == GLOBAL          ? own || thread_mode == GLOBAL
                         : capture->mode == THREAD_LOCAL    ? own
                                                            : false;
        if (forbidden) return invalidate(capture.get(), CAPTURE_UNSUPPORTED, what);
    }
    return SUCCESS;
}

Status drain(Handle handle) {
    Stream *stream = stream_of(handle);
    if (!stream) return INVALID_HANDLE;
    if (stream == &legacy) return for_all_streams([](Stream *s) { return s->blocking ? drain_stream(s) : SUCCESS; });
    return drain_stream(stream);
}

Status drain_all() { return for_all_streams(drain_stream); }

bool is_capturing(Handle handle) {
    Stream *stream = stream_of(handle);
    return stream && stream->capture;
}

Status create_stream(Handle *result, unsigned flags, int priority) {
    auto *stream = new Stream;
    stream->flags = flags;
    stream->blocking = !(flags & 1);
    stream->priority = priority;
    streams.insert(stream);
    *result = stream;
    count("stream", "%p", (void *)stream);
    return SUCCESS;
}

Status destroy_stream(Handle handle) {
    Stream *stream = found(streams, handle);
    if (!stream) return INVALID_HANDLE;
    Status status = drain_stream(stream);
    if (stream->capture) {
        stream->capture->invalidated = true;
        captures.erase(stream->capture);
    }
    for (Event *event : events)
        if (event->stream == stream) event->stream = nullptr;
    // The object stays, as nobody's: captures and events may still have its address as a key.
    streams.erase(stream);
    return status;
}

Status synchronize_stream(Handle handle) {
    Stream *stream = stream_of(handle);
    if (!stream) return INVALID_HANDLE;
    if (stream->capture) return invalidate(stream->capture.get(), CAPTURE_UNSUPPORTED, "waiting for the stream");
    if (Status status = forbid_in_capture("waiting for a stream")) return status;
    count("synchronize", "stream %p", handle);
    return drain(handle);
}

Status query_stream(Handle handle) {
    Stream *stream = stream_of(handle);
    if (!stream) return INVALID_HANDLE;
    if (stream->capture) return invalidate(stream->capture.get(), CAPTURE_UNSUPPORTED, "asking the stream");
    if (Status status = forbid_in_capture("asking a stream")) return status;
    return drain(handle);
}

Status synchronize_device() {
    if (!captures.empty()) return invalidate(captures.begin()->get(), CAPTURE_UNSUPPORTED, "waiting for the device");
    count("synchronize", "device");
    return drain_all();
}

Status stream_flags(Handle handle, unsigned *flags, int *priority) {
    Stream *stream = stream_of(handle);
    if (!stream) return INVALID_HANDLE;
    if (flags) *flags = stream->flags;
    if (priority) *priority = stream->priority;
    return SUCCESS;
}

Status create_event(Handle *result, unsigned flags) {
    auto *event = new Event;
    event->timing = !(flags & 2);
    events.insert(event);
    *result = event;
    return SUCCESS;
}

Status destroy_event(Handle handle) {
    Event *event = found(events, handle);
    if (!event) return INVALID_HANDLE;
    // Kept alive where queued work still sets its time: the memory is small.
    events.erase(event);
    return SUCCESS;
}

Status record_event(Handle handle, Handle stream_handle) {
    Event *event = found(events, handle);
    Stream *stream = stream_of(stream_handle);
    if (!event || !stream) return INVALID_HANDLE;
    count("record", "event %p in stream %p", handle, stream_handle);
    if (stream->capture) {
        if (stream->capture->invalidated) return CAPTURE_INVALIDATED;
        event->captured = true;
        event->capture = stream->capture;
        event->seen = stream->capture->seen[stream];
        return SUCCESS;
    }
    Status status = submit(stream_handle, [event] { event->time = Clock::now(); return SUCCESS; }, "event record");
    event->captured = false;
    event->recorded = true;
    event->stream = stream;
    event->position = stream->submitted;
    return status;
}

Status query_event(Handle handle) {
    Event *event = found(events, handle);
    if (!event) return INVALID_HANDLE;
    if (event->captured) return CAPTURED_EVENT;
    if (Status status = forbid_in_capture("asking an event")) return status;
    return event->recorded && event->stream ? drain_until(event->stream, event->position) : SUCCESS;
}

Status synchronize_event(Handle handle) {
    Event *event = found(events, handle);
    if (!event) return INVALID_HANDLE;
    if (event->captured) return CAPTURED_EVENT;
    if (Status status = forbid_in_capture("waiting for an event")) return status;
    count("synchronize", "event %p", handle);
    return event->recorded && event->stream ? drain_until(event->stream, event->position) : SUCCESS;
}

Status wait_event(Handle stream_handle, Handle handle) {
    Event *event = found(events, handle);
    Stream *stream = stream_of(stream_handle);
    if (!event || !stream) return INVALID_HANDLE;
    count("wait", "stream %p for event %p", stream_handle, handle);
    if (event->captured) {
        auto capture = event->capture.lock();
        if (!capture || !captures.count(capture)) return INVALID_VALUE;  // of a capture that has ended
        if (capture->invalidated) return CAPTURE_INVALIDATED;
        if (stream->capture && stream->capture != capture) return invalidate(capture.get(), CAPTURE_MERGE, "waiting for an event");
        if (!stream->capture) {
            if (stream == &legacy) return invalidate(capture.get(), CAPTURE_IMPLICIT, "waiting for an event");
            stream->capture = capture;
        }
        auto &seen = capture->seen[stream];
        for (auto &entry : event->seen)
            if (seen[entry.first] < entry.second) seen[entry.first] = entry.second;
        return SUCCESS;
    }
    if (stream->capture) {
        if (!event->recorded) return SUCCESS;
        return invalidate(stream->capture.get(), CAPTURE_ISOLATION, "waiting for an event of a stream that does not capture");
    }
    Stream *other = event->stream;
    size_t position = event->position;
    if (!event->recorded || !other) return SUCCESS;
    return submit(stream_handle, [other, position] { return drain_until(other, position); }, "wait for event");
}

Status elapsed_time(float *milliseconds, Handle start_handle, Handle end_handle) {
    Event *start = found(events, start_handle), *end = found(events, end_handle);
    if (!start || !end || !start->timing || !end->timing || !start->recorded || !end->recorded) return INVALID_HANDLE;
    for (Event *event : {start, end})
        if (event->stream && event->stream != &legacy && event->stream->done < event->position) return NOT_READY;
    *milliseconds = std::chrono::duration<float, std::milli>(end->time - start->time).count();
    return SUCCESS;
}

Status begin_capture(Handle handle, int mode) {
    Stream *stream = stream_of(handle);
    if (!stream || mode < GLOBAL || mode > RELAXED) return INVALID_VALUE;
    if (stream == &legacy) return complain(CAPTURE_UNSUPPORTED, "the legacy default stream cannot capture");
    if (stream->capture) return INVALID_VALUE;
    Status status = drain_stream(stream);
    auto capture = std::make_shared<Capture>();
    capture->origin = stream;
    capture->mode = mode;
    capture->thread = std::this_thread::get_id();
    capture->id = next_capture++;
    capture->seen[stream];
    stream->capture = capture;
    captures.insert(capture);
    count("capture", "stream %p", handle);
    return status;
}

Status end_capture(Handle handle, Handle *result) {
    Stream *stream = stream_of(handle);
    *result = nullptr;
    if (!stream || !stream->capture) return INVALID_VALUE;
    auto capture = stream->capture;
    if (capture->origin != stream) return invalidate(capture.get(), CAPTURE_UNMATCHED, "ending the capture");
    if (capture->mode != RELAXED && capture->thread != std::this_thread::get_id())
        return invalidate(capture.get(), CAPTURE_WRONG_THREAD, "ending the capture");
    Status status = capture->invalidated ? CAPTURE_INVALIDATED : SUCCESS;
    for (auto &entry : capture->last)
        if (!status && capture->seen[stream][entry.first] < entry.second)
            status = complain(CAPTURE_UNJOINED, "a stream that joined the capture has work that its first stream did not wait for");
    for (auto &entry : capture->seen)
        if (entry.first->capture == capture) entry.first->capture.reset();
    captures.erase(capture);
    if (status) return status;
    Graph *graph = capture->graph.get();
    owned_graphs[graph] = capture->graph;
    graphs.insert(graph);
    *result = graph;
    return SUCCESS;
}

Status capture_status(Handle handle, int *status, unsigned long long *id) {
    Stream *stream = stream_of(handle);
    if (!stream) return INVALID_HANDLE;
    if (stream == &legacy && blocking_capture()) return CAPTURE_IMPLICIT;
    *status = !stream->capture ? 0 : stream->capture->invalidated ? 2 : 1;
    if (id && stream->capture) *id = stream->capture->id;
    return SUCCESS;
}

Status exchange_capture_mode(int *mode) {
    std::swap(thread_mode, *mode);
    return SUCCESS;
}

Status instantiate(Handle *result, Handle handle) {
    Graph *graph = found(graphs, handle);
    if (!graph) return INVALID_VALUE;
    auto *executable = new Executable{graph->nodes};
    executables.insert(executable);
    *result = executable;
    return SUCCESS;
}

Status upload(Handle handle, Handle stream) {
    return found(executables, handle) && stream_of(stream) ? SUCCESS : INVALID_VALUE;
}

Status launch_graph(Handle handle, Handle stream) {
    Executable *executable = found(executables, handle);
    if (!executable) return INVALID_VALUE;
    count("graph", "%zu nodes in stream %p", executable->nodes.size(), stream);
    auto nodes = std::make_shared<std::vector<Work>>(executable->nodes);
    return submit(stream, [nodes] {
        Status first = SUCCESS;
        for (auto &node : *nodes) {
            Status status = node();
            if (!first) first = status;
        }
        return first;
    }, "graph launch");
}

Status destroy_graph(Handle handle) {
    Graph *graph = found(graphs, handle);
    if (!graph) return INVALID_VALUE;
    graphs.erase(graph);
    owned_graphs.erase(graph);
    return SUCCESS;
}

Status destroy_executable(Handle handle) {
    Executable *executable = found(executables, handle);
    if (!executable) return INVALID_VALUE;
    executables.erase(executable);
    delete executable;
    return SUCCESS;
}

Status graph_nodes(Handle handle, std::vector<std::string> *names) {
    Graph *graph = found(graphs, handle);
    if (!graph) return INVALID_VALUE;
    *names = graph->names;
    return SUCCESS;
}

}  // namespace emu
