"""Sentences, and what packages make of them: with the real Paddle (recorded) and here."""

SENTENCES = """
我
下雨了
春天来了，花都开了。
我来到北京清华大学读书。
他把书放在桌子上就走了。
小王明天要坐火车去上海看他的妹妹。
这家饭馆的面条又便宜又好吃。
请问，最近的地铁站怎么走？
昨天晚上我们一起看了一部老电影。
李老师在南京教了三十年数学。
孩子们在公园里放风筝，笑得很开心。
医生说他需要多喝水，多休息。
今年冬天比去年冷得多。
她会说中文、英文和一点儿法文。
我的电脑坏了，不知道能不能修好。
图书馆星期天也开门吗？
那座桥是一九五七年修建的。
火车因为大雪晚点了两个小时。
妈妈做的饺子是世界上最好吃的。
我想买一双黑色的皮鞋。
不要在这里抽烟！
程序员正在用计算机训练一个神经网络。
南京市长江大桥每天有很多汽车经过。
苹果三块五一斤，香蕉两块钱一斤。
会议将于2020年5月18日上午9点在广州举行。
如果明天不下雨，我们就去爬山。
老人每天早上都在河边打太极拳。
这本小说写的是一个渔夫和大海的故事。
张伟和刘洋是从小一起长大的好朋友。
飞机起飞以前，请关上手机。
中国队在昨天的比赛中以三比二获胜。
他一边听音乐，一边写作业。
研究人员在云南发现了一种新的植物。
我们公司去年的收入增加了百分之十二。
猫躺在窗台上晒太阳，狗在院子里跑来跑去。
你是哪国人？我是加拿大人。
因为路上堵车，所以我迟到了。
这个问题太难了，连老师也答不出来。
黄河是中国第二长的河。
她穿着一条红裙子，在人群中特别显眼。
Python是一种很流行的编程语言。
邮局在银行的左边，超市的对面。
听说杭州的西湖风景非常美丽。
他先洗了手，然后才坐下来吃饭。
这张照片是爷爷年轻的时候在天津拍的。
学校决定从下个月起延长图书馆的开放时间。
工人们用了不到半年的时间就把这条路修好了。
别忘了带伞，天气预报说下午有雷阵雨。
哈哈，太好了！！！
虽然这份工作很辛苦，工资也不算高，但是他每天都能见到不同的人，听到不同的故事，所以从来没有想过要离开这个城市。
""".strip().splitlines()


def of_jieba():
    """What jieba's paddle mode finds: {sentence: [the words of `cut`, the [word, tag] of `posseg.cut`]}."""
    import jieba
    import jieba.posseg

    jieba.enable_paddle()
    if not jieba.check_paddle_install["is_paddle_installed"]:
        raise RuntimeError("jieba did not get its paddle mode")
    return {
        text: [
            list(jieba.cut(text, use_paddle=True)),
            [[word, tag] for word, tag in jieba.posseg.cut(text, use_paddle=True)],
        ]
        for text in SENTENCES
    }


def of_lac():
    """What LAC's models find in all sentences at once: {sentence: [words, tags and ranks; words and tags; words]}."""
    from LAC import LAC

    # Ranks first: one is nearly a tie (0.499 to 0.501), and the real Paddle decides it otherwise after other models.
    found = [LAC(mode=mode).run(SENTENCES) for mode in ("rank", "lac", "seg")]
    return {text: list(results) for text, *results in zip(SENTENCES, *found)}  # noqa: B905 (Python 3.7 has no strict)
