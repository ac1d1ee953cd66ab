#!/usr/bin/env escript
%% The work of benches/actors on Erlang/OTP: adders that are gen_servers, told with cast and asked with call (whose
%% timeout is infinite). Arguments: case, senders, actors, count of each sender. Says one number: how many in a second,
%% or bytes for each actor.
-mode(compile).
-export([init/1, handle_cast/2, handle_call/3]).

%% How many actors come first where memory is measured, so that what is needed once is there.
-define(WARM_UP, 5000).

init([]) -> {ok, 0}.

handle_cast({tell, Number}, Total) -> {noreply, Total + Number}.

handle_call({ask, Number}, _From, Total) -> {reply, {Number, Total + Number}, Total + Number}.

main(["release"]) ->
    io:format("~s~n", [erlang:system_info(otp_release)]);
main([Case, Senders, Actors, Count]) ->
    [S, A, C] = [list_to_integer(Text) || Text <- [Senders, Actors, Count]],
    io:format("~.3f~n", [measure(Case, S, A, C)]).

measure("tell", Senders, 1, Count) ->
    Actor = spawn_actor(),
    Tell = fun(_) -> [gen_server:cast(Actor, {tell, Number}) || Number <- lists:seq(1, Count)] end,
    Expected = Senders * Count * (Count + 1) div 2,
    rate(Senders * Count, fun() ->
        in_parallel(Senders, Tell),
        {0, Expected} = gen_server:call(Actor, {ask, 0}, infinity)
    end);
measure("ask", Askers, Actors, Count) ->
    All = list_to_tuple([spawn_actor() || _ <- lists:seq(1, Actors)]),
    Ask = fun(Asker) -> ask_in_turn(All, Asker * Actors div Askers, 1, Count) end,
    rate(Askers * Count, fun() -> in_parallel(Askers, Ask) end);
measure("spawn", 1, 1, Count) ->
    rate(Count, fun() ->
        All = [spawn_actor() || _ <- lists:seq(1, Count)],
        lists:foreach(fun(Actor) -> gen_server:stop(Actor) end, All)
    end);
measure("first", 1, 1, Count) ->
    rate(Count, fun() -> lists:foreach(fun(_) -> {1, 1} = ask(spawn_actor(), 1) end, lists:seq(1, Count)) end);
measure("memory", 1, 1, Count) ->
    Started = fun(_) -> Actor = spawn_actor(), {1, 1} = ask(Actor, 1), Actor end,
    WarmUp = lists:map(Started, lists:seq(1, ?WARM_UP)),
    Before = resident_bytes(),
    All = lists:map(Started, lists:seq(1, Count)),
    Bytes = (resident_bytes() - Before) / Count,
    true = length(WarmUp) + length(All) =:= ?WARM_UP + Count,
    Bytes.

spawn_actor() ->
    {ok, Actor} = gen_server:start(?MODULE, [], []),
    Actor.

ask(Actor, Number) -> gen_server:call(Actor, {ask, Number}, infinity).

ask_in_turn(_All, _Next, Number, Count) when Number > Count -> ok;
ask_in_turn(All, Next, Number, Count) ->
    {Number, Total} = ask(element(Next + 1, All), Number),
    true = Total >= Number,
    ask_in_turn(All, (Next + 1) rem tuple_size(All), Number + 1, Count).

%% Runs it in so many processes, each of which is told its number from 0 on, and waits for all of them.
in_parallel(Processes, Run) ->
    All = [spawn_monitor(fun() -> Run(Number) end) || Number <- lists:seq(0, Processes - 1)],
    lists:foreach(fun({Process, Monitor}) ->
        receive {'DOWN', Monitor, process, Process, normal} -> ok end
    end, All).

rate(Count, Run) ->
    Begun = erlang:monotonic_time(nanosecond),
    Run(),
    Count * 1.0e9 / (erlang:monotonic_time(nanosecond) - Begun).

resident_bytes() ->
    {ok, Status} = file:read_file("/proc/self/status"),
    {match, [KiB]} = re:run(Status, "VmRSS:\\s+(\\d+) kB", [{capture, [1], list}]),
    list_to_integer(KiB) * 1024.
